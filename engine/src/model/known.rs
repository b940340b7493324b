//! What the model knows of an account beside its money, kept and changed in the plainest way.

use crate::account_event::Opening;
use crate::ids::Lsn;
use crate::limits::Bounds;
use crate::money::{AMOUNT_MAX, BALANCE_MAX};
use crate::profile::{Profile, ProfileChange, TextFault};
use crate::transfer::{AccountRejection, AccountSpec};

/// An account's opening, what is known of it now, and every event of its history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// As it was opened.
    pub opening: Opening,
    /// Kind, owner, label, metadata.
    pub profile: Profile,
    /// The event that gave it its status, and why; `None` for its opening.
    pub reason: Option<(Lsn, String)>,
    /// Its opening and all changes, the oldest first.
    pub history: Vec<Lsn>,
}

impl Known {
    pub(super) fn new(opening: &Opening, lsn: Lsn) -> Self {
        let profile = opening.profile.clone();
        Self { opening: opening.clone(), profile, reason: None, history: vec![lsn] }
    }
}

/// A text's bounds, and the fault that names them.
fn fits(text: &str, least: usize, most: usize, fault: TextFault) -> Result<(), TextFault> {
    if (least..=most).contains(&text.len()) && text.chars().all(|c| !c.is_control()) {
        return Ok(());
    }
    Err(fault)
}

/// The bounds of a reason.
pub(super) fn check_reason(reason: &str) -> Result<(), TextFault> {
    fits(reason, 0, 512, TextFault::Reason)
}

/// The bounds of a profile, as the interface states them.
pub(super) fn check_profile(profile: &Profile) -> Result<(), TextFault> {
    fits(&profile.owner, 0, 128, TextFault::Owner)?;
    fits(&profile.label, 0, 256, TextFault::Label)?;
    let mut bytes = 0;
    for (key, value) in &profile.metadata {
        fits(key, 1, 64, TextFault::Key)?;
        if key.chars().any(|c| !(c.is_ascii_alphanumeric() || "_-.:/".contains(c))) {
            return Err(TextFault::Key);
        }
        fits(value, 0, 4096, TextFault::Value)?;
        bytes += key.len() + value.len();
    }
    match (profile.metadata.len(), bytes) {
        (33.., _) => Err(TextFault::Keys),
        (_, 4097..) => Err(TextFault::Metadata),
        _ => Ok(()),
    }
}

/// The profile that a change makes of another one.
pub(super) fn after(before: &Profile, change: &ProfileChange) -> Profile {
    let ProfileChange { kind, owner, label, set, remove } = change;
    let kept = before.metadata.iter().filter(|(key, _)| !remove.contains(*key));
    let all = kept.chain(set).map(|(key, value)| (key.clone(), value.clone()));
    Profile {
        kind: match kind {
            Some(kind) => *kind,
            None => before.kind,
        },
        owner: owner.as_ref().unwrap_or(&before.owner).clone(),
        label: label.as_ref().unwrap_or(&before.label).clone(),
        metadata: all.collect(),
    }
}

/// Which limits an account can have whose balance is `posted`, of which `on_hold` is set aside.
pub(super) fn check_limits(
    spec: &AccountSpec,
    bounds: Bounds,
    posted: i128,
    on_hold: u128,
) -> Result<(), AccountRejection> {
    if spec.overdraft_limit > AMOUNT_MAX {
        return Err(AccountRejection::LimitTooLarge);
    }
    if spec.external {
        let bounded = bounds != Bounds::default();
        return if bounded { Err(AccountRejection::ExternalWithBounds) } else { Ok(()) };
    }
    let overdraft = -i128::try_from(spec.overdraft_limit).expect("at most an amount");
    let floor = bounds.floor.unwrap_or(overdraft);
    let ceiling = bounds.ceiling.unwrap_or(BALANCE_MAX);
    if !(overdraft <= floor && floor <= ceiling && ceiling <= BALANCE_MAX) {
        return Err(AccountRejection::LimitsContradict);
    }
    let on_hold = i128::try_from(on_hold).expect("at most what there is");
    if posted - on_hold < floor || posted > ceiling {
        return Err(AccountRejection::BalanceOutside);
    }
    Ok(())
}
