//! Two persons for what is too much for one: from which amounts on, and what waits for the second.
//!
//! A call above the amount is not done but kept as a proposal, as it was asked for. Somebody else lists the
//! proposals, looks at one, and approves it; only then it is done, on behalf of both. Proposals are in memory:
//! an hour, bounded in number and size, and gone after a restart, when nobody has agreed to anything.

use super::Caller;
use crate::status::Refusal;
use ducat_engine::ids::AccountId;
use ducat_engine::money::{Currencies, CurrencyId};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tonic::Code;
use uuid::Uuid;

/// How long a proposal waits for its second person.
pub const PROPOSAL_LIFETIME: Duration = Duration::from_secs(3600);

/// Proposals that are kept at a time, done ones included until their hour is over.
pub const PROPOSALS_MAX: usize = 512;

/// Of one person.
pub const PROPOSALS_EACH_MAX: usize = 64;

/// The largest request that is kept, bytes.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Stands for all currencies that are not named.
const OTHERS: &str = "*";

/// The amounts above which one person is not enough, minor units, by currency. A currency that is neither
/// named nor covered by `*` needs two persons for every amount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    by_code: BTreeMap<String, u128>,
    others: u128,
}

/// One of [`Amounts`]: `GBP=1000000`, or `*=0` for all that are not named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    code: String,
    minor: u128,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.code, self.minor)
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no amount; one looks like GBP=1000000, in minor units");
        let (code, minor) = text.split_once('=').ok_or_else(wrong)?;
        let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_code && code != OTHERS {
            return Err(wrong());
        }
        let digits = !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit());
        let minor = if digits { minor.parse().map_err(|_| wrong())? } else { return Err(wrong()) };
        Ok(Self { code: code.to_owned(), minor })
    }
}

impl Amounts {
    /// Of these; `None` of none.
    ///
    /// # Errors
    /// A sentence about a currency that is there twice.
    pub fn new(all: &[Amount]) -> Result<Option<Self>, String> {
        let mut by_code = BTreeMap::new();
        for Amount { code, minor } in all {
            if by_code.insert(code.clone(), *minor).is_some() {
                return Err(format!("{code} has two amounts above which two persons are needed"));
            }
        }
        let others = by_code.remove(OTHERS).unwrap_or(0);
        Ok((!all.is_empty()).then_some(Self { by_code, others }))
    }

    /// Whether any currency's amount is more than one person may do.
    #[must_use]
    pub fn are_passed(&self, weight: &Weight, currencies: &Currencies) -> bool {
        weight.without_bound
            || weight.amounts.iter().any(|(id, minor)| {
                let code = currencies.by_id(*id).map(|currency| currency.code);
                let most = code.and_then(|code| self.by_code.get(&code).copied());
                *minor > most.unwrap_or(self.others)
            })
    }
}

/// What the dangerous parts of a call move or free, in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    amounts: BTreeMap<CurrencyId, u128>,
    /// More than any amount: an external account, a schedule without end.
    without_bound: bool,
}

impl Weight {
    /// Adds an amount in minor units.
    pub fn add(&mut self, currency: CurrencyId, minor: u128) {
        let sum = self.amounts.entry(currency).or_default();
        *sum = sum.saturating_add(minor);
    }

    /// Makes it more than any amount.
    pub const fn add_without_bound(&mut self) {
        self.without_bound = true;
    }
}

/// What one person asked for and may not do alone.
#[derive(Clone, Debug)]
pub struct Proposed {
    /// Who asked.
    pub caller: Caller,
    /// For which call: `/ducat.v1.Ledger/SetAccountLimits`.
    pub path: String,
    /// The request, as the call takes it.
    pub request: Vec<u8>,
}

impl Proposed {
    /// By which whoever approves says what they have seen.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new();
        hash.update(&(self.path.len() as u64).to_le_bytes());
        hash.update(self.path.as_bytes()).update(&self.request);
        *hash.finalize().as_bytes()
    }
}

/// How a proposal stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for a second person.
    Open,
    /// A second person has said yes, and it is being done.
    Running,
    /// It was done; the second person's name.
    Done(String),
}

/// A proposal as it is kept.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Its id, a UUID.
    pub id: Uuid,
    /// What was asked for.
    pub proposed: Proposed,
    /// When, seconds since the Unix epoch.
    pub at_s: u64,
    /// How it stands.
    pub state: State,
}

impl Proposal {
    /// Until when it can be approved, seconds since the Unix epoch.
    #[must_use]
    pub const fn expires_s(&self) -> u64 {
        self.at_s.saturating_add(PROPOSAL_LIFETIME.as_secs())
    }
}

/// What waits for a second person.
#[derive(Debug, Default)]
pub struct Proposals(Mutex<BTreeMap<Uuid, Proposal>>);

impl Proposals {
    /// Those whose time is not over.
    fn kept(&self, now_s: u64) -> MutexGuard<'_, BTreeMap<Uuid, Proposal>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is being done ends by itself.
        all.retain(|_, kept| now_s < kept.expires_s() || kept.state == State::Running);
        all
    }

    /// Keeps what was asked for. The same, asked for again by the same person while it is open, is the same
    /// proposal.
    ///
    /// # Errors
    /// `REQUEST_TOO_LARGE` (`OUT_OF_RANGE`) and `PROPOSALS_FULL` (`RESOURCE_EXHAUSTED`).
    pub fn keep(&self, proposed: Proposed, now_s: u64) -> Result<Proposal, Refusal> {
        if proposed.request.len() > REQUEST_BYTES_MAX {
            let sentence = format!(
                "this needs a second person, and a request of more than {REQUEST_BYTES_MAX} bytes is \
                 not kept for one; ask for less at a time"
            );
            return Err(Refusal::new(Code::OutOfRange, "REQUEST_TOO_LARGE", sentence));
        }
        let mut all = self.kept(now_s);
        let person = proposed.caller.person();
        let digest = proposed.digest();
        let of_person = all.values().filter(|kept| kept.proposed.caller.person() == person);
        let same = |kept: &&Proposal| kept.state == State::Open && kept.proposed.digest() == digest;
        if let Some(same) = of_person.clone().find(same) {
            return Ok(same.clone());
        }
        if all.len() >= PROPOSALS_MAX || of_person.count() >= PROPOSALS_EACH_MAX {
            let sentence = format!(
                "this needs a second person, and so many proposals wait already ({PROPOSALS_EACH_MAX} of \
                 one person, {PROPOSALS_MAX} in all); approve or reject some"
            );
            return Err(Refusal::new(Code::ResourceExhausted, "PROPOSALS_FULL", sentence));
        }
        let id = Uuid::now_v7();
        let proposal = Proposal { id, proposed, at_s: now_s, state: State::Open };
        all.insert(id, proposal.clone());
        Ok(proposal)
    }

    /// Bytes of the requests of all that are kept.
    #[must_use]
    pub fn bytes(&self, now_s: u64) -> usize {
        self.kept(now_s).values().map(|kept| kept.proposed.request.len()).sum()
    }

    /// So many of those that are kept, the oldest first, from behind this one on; fewer where their requests have
    /// more bytes, but one at least. And whether there are more.
    #[must_use]
    pub fn page(
        &self,
        after: Option<Uuid>,
        size: usize,
        bytes_max: usize,
        now_s: u64,
    ) -> (Vec<Proposal>, bool) {
        let all = self.kept(now_s);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = all.range((from, Bound::Unbounded)).map(|(_, kept)| kept).peekable();
        let (mut page, mut bytes) = (Vec::new(), 0);
        while let Some(kept) = rest.peek().filter(|_| page.len() < size) {
            bytes += kept.proposed.request.len();
            if bytes > bytes_max && !page.is_empty() {
                break;
            }
            page.extend(rest.next().cloned());
        }
        (page, rest.peek().is_some())
    }

    /// Begins to do a proposal, which a second person has seen under this digest. It must be
    /// [`Self::ended`].
    ///
    /// # Errors
    /// `PROPOSAL_UNKNOWN` (also when its time is over), `PROPOSAL_OTHER` for another digest, `SAME_PERSON`,
    /// `PROPOSAL_RUNNING`, `PROPOSAL_DONE`.
    pub fn begin(
        &self,
        id: Uuid,
        digest: &[u8],
        second: &Caller,
        now_s: u64,
    ) -> Result<Proposal, Refusal> {
        let mut all = self.kept(now_s);
        let kept = all.get_mut(&id).ok_or_else(|| unknown(id))?;
        // How it stands first: to whom it is told decides nothing any more.
        match &kept.state {
            State::Open => {}
            State::Running => {
                let sentence = format!("proposal {id} is being done");
                return Err(Refusal::new(Code::Aborted, "PROPOSAL_RUNNING", sentence));
            }
            State::Done(by) => {
                let sentence = format!("proposal {id} was approved by {by}, and is done");
                return Err(Refusal::new(Code::FailedPrecondition, "PROPOSAL_DONE", sentence));
            }
        }
        if kept.proposed.digest() != digest {
            let sentence = format!("proposal {id} is not what was looked at");
            return Err(Refusal::new(Code::FailedPrecondition, "PROPOSAL_OTHER", sentence));
        }
        if !are_two(&kept.proposed.caller, second) {
            let sentence =
                format!("{} has proposed it: somebody else approves it", second.person());
            return Err(Refusal::new(Code::PermissionDenied, "SAME_PERSON", sentence));
        }
        kept.state = State::Running;
        Ok(kept.clone())
    }

    /// It was done on the approval of `by`, or was not done (`None`) and can be approved again.
    pub fn ended(&self, id: Uuid, by: Option<&str>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = all.get_mut(&id) {
            kept.state = by.map_or(State::Open, |by| State::Done(by.to_owned()));
        }
    }

    /// Forgets an open one.
    ///
    /// # Errors
    /// As [`Self::begin`], about how it stands.
    pub fn reject(&self, id: Uuid, now_s: u64) -> Result<Proposal, Refusal> {
        let mut all = self.kept(now_s);
        match all.get(&id).map(|kept| &kept.state) {
            Some(State::Open) => all.remove(&id).ok_or_else(|| unknown(id)),
            Some(_) => {
                let sentence = format!("proposal {id} was approved already");
                Err(Refusal::new(Code::FailedPrecondition, "PROPOSAL_DONE", sentence))
            }
            None => Err(unknown(id)),
        }
    }
}

fn unknown(id: Uuid) -> Refusal {
    let sentence = format!(
        "no proposal {id} waits: it is over an hour old, rejected, or from before a restart"
    );
    Refusal::new(Code::NotFound, "PROPOSAL_UNKNOWN", sentence)
}

/// Whether these are two persons: neither has an identity that is the other's person.
fn are_two(one: &Caller, other: &Caller) -> bool {
    let is_of = |caller: &Caller, person: &str| caller.grants().iter().any(|g| g.name == person);
    !is_of(one, other.person()) && !is_of(other, one.person())
}

/// Accounts whose currencies a weight needs to know.
pub(super) type Unnamed = Vec<(AccountId, u128)>;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn proposed(name: &str, request: &[u8]) -> Proposed {
        let path = "/ducat.v1.Ledger/SetAccountLimits".to_owned();
        Proposed { caller: Caller::named(&[name]), path, request: request.to_vec() }
    }

    fn reason<T: fmt::Debug>(result: Result<T, Refusal>) -> &'static str {
        result.map_or_else(|refusal| refusal.reason, |_| "done")
    }

    fn amounts(texts: &[&str]) -> Result<Option<Amounts>, String> {
        let all = texts.iter().map(|text| text.parse()).collect::<Result<Vec<Amount>, _>>()?;
        Amounts::new(&all)
    }

    #[test]
    fn amounts_are_passed_by_more_and_not_by_as_much() {
        let currencies = Currencies::new();
        let id = |code: &str| currencies.by_code(code).expect("ISO").id;
        let passed = |texts: &[&str], code: &str, minor: u128| {
            let mut weight = Weight::default();
            weight.add(id(code), minor);
            let amounts = amounts(texts).expect("well-formed").expect("some");
            amounts.are_passed(&weight, &currencies)
        };
        assert!(!passed(&["GBP=100"], "GBP", 100));
        assert!(passed(&["GBP=100"], "GBP", 101));
        assert!(passed(&["GBP=100"], "EUR", 1), "not named: always");
        assert!(!passed(&["GBP=100", "*=5"], "EUR", 5));
        assert!(passed(&["GBP=100", "*=5"], "EUR", 6));
        let mut weight = Weight::default();
        weight.add(id("GBP"), u128::MAX);
        weight.add(id("GBP"), 1);
        let most = amounts(&[&format!("*={}", u128::MAX - 1)]).expect("well-formed").expect("some");
        assert!(most.are_passed(&weight, &currencies), "sums do not wrap");
        weight.add_without_bound();
        let most = amounts(&[&format!("*={}", u128::MAX)]).expect("well-formed").expect("some");
        assert!(most.are_passed(&weight, &currencies), "more than any amount");
        assert!(!most.are_passed(&Weight::default(), &currencies));
    }

    #[test]
    fn amounts_that_cannot_be_meant_are_refused() {
        for text in ["", "GBP", "GBP=", "=1", "GBP=-1", "GBP=+1", "GBP=1.5", "G P=1", "**=1"] {
            assert!(amounts(&[text]).is_err(), "{text}");
        }
        assert!(amounts(&["GBP=1", "GBP=2"]).is_err());
        assert_eq!(amounts(&[]), Ok(None));
        assert_eq!("GBP=5".parse::<Amount>().map(|amount| amount.to_string()), Ok("GBP=5".into()));
    }

    #[test]
    fn a_proposal_is_done_once_by_somebody_else() {
        let kept = Proposals::default();
        let one = kept.keep(proposed("anna", b"x"), NOW).expect("room");
        let same = kept.keep(proposed("anna", b"x"), NOW + 5).expect("room");
        assert_eq!(one.id, same.id, "asked for again");
        let other = kept.keep(proposed("bert", b"x"), NOW).expect("room");
        assert_ne!(one.id, other.id, "by somebody else");
        let digest = one.proposed.digest();
        let begin = |names: &[&str], digest: &[u8]| {
            reason(kept.begin(one.id, digest, &Caller::named(names), NOW))
        };
        assert_eq!(begin(&["anna"], &digest), "SAME_PERSON");
        // Whoever comes with both identities is not two.
        assert_eq!(begin(&["anna", "bert"], &digest), "SAME_PERSON");
        assert_eq!(begin(&["bert", "anna"], &digest), "SAME_PERSON");
        assert_eq!(begin(&["bert"], b""), "PROPOSAL_OTHER");
        assert_eq!(begin(&["bert"], &digest), "done");
        assert_eq!(begin(&["carl"], &digest), "PROPOSAL_RUNNING");
        kept.ended(one.id, None);
        assert_eq!(begin(&["carl"], &digest), "done", "it was not done, so it is open");
        kept.ended(one.id, Some("carl"));
        assert_eq!(begin(&["bert"], &digest), "PROPOSAL_DONE");
        assert_eq!(reason(kept.reject(one.id, NOW)), "PROPOSAL_DONE");
        let again = kept.keep(proposed("anna", b"x"), NOW).expect("room");
        assert_ne!(again.id, one.id, "what is done is asked for anew");
        assert_eq!(reason(kept.reject(again.id, NOW)), "done");
        assert_eq!(reason(kept.reject(again.id, NOW)), "PROPOSAL_UNKNOWN");
    }

    fn all(kept: &Proposals, now_s: u64) -> Vec<Proposal> {
        kept.page(None, PROPOSALS_MAX, usize::MAX, now_s).0
    }

    #[test]
    fn pages_have_each_proposal_once_and_no_more_than_they_may() {
        let kept = Proposals::default();
        let sizes = [10, 10, 10, 50, 10, 60, 10];
        let keep = |request: Vec<u8>| kept.keep(proposed("anna", &request), NOW).expect("room").id;
        let ids: Vec<Uuid> = sizes.iter().zip(0..).map(|(size, n)| keep(vec![n; *size])).collect();
        let pages = |size: usize, bytes_max: usize| {
            let (mut found, mut counts, mut more) = (Vec::new(), Vec::new(), true);
            while more {
                let page = kept.page(found.last().copied(), size, bytes_max, NOW);
                counts.push(page.0.len());
                found.extend(page.0.iter().map(|kept| kept.id));
                more = page.1;
            }
            assert_eq!(found, ids, "each once, the oldest first");
            counts
        };
        assert_eq!(pages(PROPOSALS_MAX, usize::MAX), [7]);
        assert_eq!(pages(3, usize::MAX), [3, 3, 1]);
        assert_eq!(pages(7, usize::MAX), [7], "no empty page behind the last");
        // One that is larger than a page has a page of its own.
        assert_eq!(pages(5, 50), [3, 1, 1, 1, 1]);
        assert_eq!(pages(5, 0), [1; 7]);
        let (page, more) = kept.page(ids.last().copied(), 5, 50, NOW);
        assert!(page.is_empty() && !more);
    }

    #[test]
    fn a_proposal_waits_an_hour() {
        let kept = Proposals::default();
        let one = kept.keep(proposed("anna", b"x"), NOW).expect("room");
        let (digest, second) = (one.proposed.digest(), Caller::named(&["bert"]));
        let over = one.expires_s();
        assert_eq!(over, NOW + 3600);
        assert_eq!(all(&kept, over - 1).len(), 1);
        assert_eq!(reason(kept.begin(one.id, &digest, &second, over)), "PROPOSAL_UNKNOWN");
        assert!(all(&kept, NOW).is_empty(), "and is gone for good");
        // What was begun in time is ended behind it.
        let two = kept.keep(proposed("anna", b"y"), NOW).expect("room");
        let digest = two.proposed.digest();
        kept.begin(two.id, &digest, &second, over - 1).expect("in time");
        assert_eq!(reason(kept.begin(two.id, &digest, &second, over)), "PROPOSAL_RUNNING");
        kept.ended(two.id, Some("bert"));
        assert!(all(&kept, over).is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded_for_each_and_for_all() {
        let kept = Proposals::default();
        let keep = |name: &str, n: usize| reason(kept.keep(proposed(name, &n.to_le_bytes()), NOW));
        for n in 0..PROPOSALS_EACH_MAX {
            assert_eq!(keep("anna", n), "done");
        }
        assert_eq!(keep("anna", PROPOSALS_EACH_MAX), "PROPOSALS_FULL");
        assert_eq!(keep("anna", 0), "done", "which is there already");
        for n in 0..PROPOSALS_MAX - PROPOSALS_EACH_MAX {
            assert_eq!(keep(&format!("p{}", n / PROPOSALS_EACH_MAX), n), "done");
        }
        assert_eq!(keep("zoe", 0), "PROPOSALS_FULL");
        assert_eq!(all(&kept, NOW).len(), PROPOSALS_MAX);
        let large = Proposals::default();
        let request = vec![0; REQUEST_BYTES_MAX + 1];
        assert_eq!(reason(large.keep(proposed("anna", &request), NOW)), "REQUEST_TOO_LARGE");
        assert!(large.keep(proposed("anna", &request[1..]), NOW).is_ok());
    }

    #[test]
    fn a_digest_stands_for_call_and_request() {
        let of = |path: &str, request: &[u8]| {
            let caller = Caller::named(&["anna"]);
            Proposed { caller, path: path.into(), request: request.to_vec() }.digest()
        };
        assert_eq!(of("/a", b"b"), of("/a", b"b"));
        assert_ne!(of("/a", b"b"), of("/ab", b""));
        assert_ne!(of("/a", b"b"), of("/a", b"c"));
    }
}
