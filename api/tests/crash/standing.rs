//! How holds stand and what a request does to them and to accounts, as plain as can be: the part
//! of the [model](crate::model) that is about holds.

use ducat_api::proto::{Code, HoldOutcome, HoldState, Operation, TransferRequest};

/// The expiry of a hold that never expires, as the interface writes it.
pub const NEVER_NS: u64 = u64::MAX;

/// An open hold. Amounts are minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenHold {
    /// The account that pays.
    pub debit: u64,
    /// The account that receives.
    pub credit: u64,
    /// What it was placed with.
    pub amount: i128,
    /// What is still set aside.
    pub remaining: i128,
    /// By how much captures together may exceed the amount.
    pub over: i128,
    /// When it expires, nanoseconds since 1970; [`NEVER_NS`].
    pub expires_ns: u64,
    /// The event that placed it.
    pub placed_lsn: u64,
}

/// What became of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// As it is, or was last.
    pub hold: OpenHold,
    /// Open, or how it ended.
    pub state: HoldState,
}

impl Standing {
    /// Whether it sets money aside.
    pub fn is_open(&self) -> bool {
        self.state == HoldState::Open
    }

    /// The rule that an operation on it breaks, if it is closed.
    fn refusal(&self) -> Option<Code> {
        match self.state {
            HoldState::Voided => Some(Code::HoldVoided),
            HoldState::Expired => Some(Code::HoldExpired),
            HoldState::Captured => Some(Code::HoldCaptured),
            HoldState::Open | HoldState::Unspecified => None,
        }
    }

    /// What a refusal that found it open is told of it.
    pub fn told(&self, id: u128) -> HoldOutcome {
        HoldOutcome {
            remaining_minor: narrow(self.hold.remaining),
            expires_ns: self.hold.expires_ns,
            ..outcome(id, HoldState::Open)
        }
    }
}

/// What a request does once it happens. Amounts are minor units.
#[derive(Clone, Copy, Debug)]
pub struct Effect {
    /// The account that pays.
    pub debit: u64,
    /// The account that receives.
    pub credit: u64,
    /// From the one to the other.
    pub moved: i128,
    /// On hold from now on.
    pub set_aside: i128,
    /// On hold no more.
    pub released: i128,
    /// The hold, and how it stands then.
    pub hold: Option<(u128, Standing)>,
}

/// The operation asked for.
pub fn operation(request: &TransferRequest) -> Operation {
    Operation::try_from(request.operation).expect("the tests send known operations")
}

/// The hold that an operation speaks of; `None` of a transfer.
pub fn hold_of(request: &TransferRequest) -> Option<u128> {
    match operation(request) {
        Operation::Transfer => None,
        Operation::Hold => Some(crate::history::id_of(request)),
        _ => Some(crate::history::join(request.hold_id_high, request.hold_id)),
    }
}

/// The amount that a request names, minor units; `None` of a capture of all that remains. All
/// currencies of the tests have two digits.
pub fn named_amount(request: &TransferRequest) -> Option<i128> {
    let named = request.amount_minor > 0 || !request.amount.is_empty();
    (named || operation(request) != Operation::Capture).then(|| amount_of(request))
}

/// The amount field in minor units.
pub fn amount_of(request: &TransferRequest) -> i128 {
    match request.amount.is_empty() {
        true => i128::from(request.amount_minor),
        false => minor(&request.amount),
    }
}

/// The tolerance of a hold in minor units.
pub fn over_of(request: &TransferRequest) -> i128 {
    match request.over_capture_max.is_empty() {
        true => i128::from(request.over_capture_max_minor),
        false => minor(&request.over_capture_max),
    }
}

/// A decimal text with two decimals (or none) in minor units.
pub fn minor(text: &str) -> i128 {
    let digits: String = text.chars().filter(|c| *c != '.').collect();
    let value: i128 = digits.parse().unwrap_or_else(|_| panic!("`{text}` is a number"));
    match text.split_once('.') {
        None => value * 100,
        Some((_, decimals)) => {
            assert_eq!(decimals.len(), 2, "`{text}` has two decimals");
            value
        }
    }
}

/// When something that begins now ends.
fn end(time_ns: u64, timeout_ms: u64) -> u64 {
    match timeout_ms {
        0 => NEVER_NS,
        timeout_ms => time_ns.checked_add(timeout_ms * 1_000_000).unwrap_or(NEVER_NS),
    }
}

/// The first rule about a hold's state that the request breaks; `standing` is how the hold that
/// it speaks of stands. `held_in` is the currency of that hold's accounts.
pub fn hold_rule(
    time_ns: u64,
    request: &TransferRequest,
    standing: Option<Standing>,
    held_in: impl Fn(&OpenHold) -> &'static str,
) -> Option<Code> {
    match operation(request) {
        Operation::Transfer => return None,
        Operation::Hold => return standing.filter(Standing::is_open).map(|_| Code::HoldExists),
        _ => {}
    }
    let Some(standing) = standing else { return Some(Code::HoldUnknown) };
    if let Some(refused) = standing.refusal() {
        return Some(refused);
    }
    let hold = &standing.hold;
    match operation(request) {
        Operation::Capture => {
            let amount = named_amount(request).unwrap_or(hold.remaining);
            if amount > hold.remaining + hold.over {
                return Some(Code::HoldExceeded);
            }
            let named = &request.currency;
            (!named.is_empty() && named != held_in(hold)).then_some(Code::CurrencyMismatch)
        }
        Operation::Extend => {
            let later = end(time_ns, request.timeout_ms) > hold.expires_ns;
            (!later).then_some(Code::HoldExtensionTooShort)
        }
        _ => None,
    }
}

/// What the request, which breaks no rule about holds, does at `time_ns` as the event `lsn`;
/// `standing` is how the hold that it speaks of stands.
pub fn effect(
    lsn: u64,
    time_ns: u64,
    request: &TransferRequest,
    standing: Option<Standing>,
) -> Effect {
    let (debit, credit, amount) =
        (request.debit_account, request.credit_account, amount_of(request));
    let nothing = Effect { debit, credit, moved: 0, set_aside: 0, released: 0, hold: None };
    let Some(id) = hold_of(request) else { return Effect { moved: amount, ..nothing } };
    if operation(request) == Operation::Hold {
        let hold = OpenHold {
            debit,
            credit,
            amount,
            remaining: amount,
            over: over_of(request),
            expires_ns: end(time_ns, request.timeout_ms),
            placed_lsn: lsn,
        };
        let standing = Standing { hold, state: HoldState::Open };
        return Effect { set_aside: amount, hold: Some((id, standing)), ..nothing };
    }
    let mut standing = standing.expect("the rules found it open");
    let hold = &mut standing.hold;
    let (mut moved, mut released) = (0, 0);
    match operation(request) {
        Operation::Capture => {
            moved = named_amount(request).unwrap_or(hold.remaining);
            released = if request.last { hold.remaining } else { moved.min(hold.remaining) };
            hold.remaining -= released;
            if hold.remaining == 0 {
                standing.state = HoldState::Captured;
            }
        }
        Operation::Void => {
            released = std::mem::take(&mut hold.remaining);
            standing.state = HoldState::Voided;
        }
        _ => hold.expires_ns = end(time_ns, request.timeout_ms),
    }
    let Standing { hold: OpenHold { debit, credit, .. }, .. } = standing;
    Effect { debit, credit, moved, set_aside: 0, released, hold: Some((id, standing)) }
}

/// What an operation that was done is told of its hold; `None` of a transfer.
pub fn told(request: &TransferRequest, effect: &Effect) -> Option<HoldOutcome> {
    let (id, standing) = effect.hold?;
    let tells_end = matches!(operation(request), Operation::Hold | Operation::Extend);
    Some(HoldOutcome {
        captured_minor: narrow(effect.moved),
        released_minor: narrow(effect.released),
        remaining_minor: narrow(standing.hold.remaining),
        expires_ns: if tells_end { standing.hold.expires_ns } else { 0 },
        ..outcome(id, standing.state)
    })
}

fn outcome(id: u128, state: HoldState) -> HoldOutcome {
    let (id, id_high) = (id as u64, (id >> 64) as u64);
    HoldOutcome { id, id_high, state: state as i32, ..HoldOutcome::default() }
}

/// Amounts of holds that happen in the tests fit into 64 bits.
fn narrow(minor: i128) -> u64 {
    u64::try_from(minor).expect("small")
}
