//! The second factor of dangerous calls: a code by time (RFC 6238) beside whatever says who calls.
//!
//! ```text
//! gate: token or certificate ▸ Caller ▸ Standing ─┬─ always dangerous: proven here
//!                                                └─ by content: the service asks for the proof
//! ```
//!
//! A [`Standing`] goes with every call of a server that asks for second factors. It knows the code that
//! came in the headers and is proven once at most, so that one code serves one call and a call that turns
//! out to be harmless uses up none. What is kept of codes ([`State`]) is in memory and bounded by those
//! who are enrolled; which were used is in a file as well ([`used`]). Nothing here reads a clock but the door's own ([`super::guard`]); see
//! [decision 45](../../../../docs/adr/0045-second-factor-and-two-persons.md).

pub mod secrets;
mod standing;
pub mod used;

pub use secrets::Secrets;
pub use standing::Standing;

use crate::status::Refusal;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tonic::Code;
use used::{Used, UsedError};

/// The header in which the code travels.
pub const HEADER: &str = "ducat-totp";

/// How long a code is shown, seconds.
pub const STEP_S: u64 = 30;

/// Wrong codes of one principal within [`WRONG_WINDOW`], after which it is locked.
pub const WRONG_MAX: usize = 5;

/// Wrong codes that are older do not count, and a lock lasts as long from the last of them on.
pub const WRONG_WINDOW: Duration = Duration::from_secs(15 * 60);

/// What second factors are checked by; replaced as a whole when the configuration is read again.
#[derive(Debug)]
pub struct Rules {
    /// Who is enrolled, with which secret.
    pub secrets: Secrets,
    /// How long a token's own second factor counts, from the moment on at which it was given.
    pub session: Duration,
    /// From which amounts on one person is not enough.
    pub two_persons: Option<super::persons::Amounts>,
}

/// What is remembered of the codes that came; outlives a change of the rules.
#[derive(Debug, Default)]
pub struct State {
    by_name: Mutex<HashMap<String, Seen>>,
    /// Where used codes are written down, if they outlive the process.
    used: OnceLock<Used>,
    wrong: AtomicU64,
    locked: AtomicU64,
}

/// What is remembered of one principal.
#[derive(Debug, Default)]
struct Seen {
    /// The step of the last code that was taken.
    used: Option<u64>,
    /// When wrong codes came, seconds since the Unix epoch.
    wrong: Vec<u64>,
}

impl Seen {
    /// For how long it is still locked.
    fn locked_s(&mut self, now_s: u64) -> Option<u64> {
        let window = WRONG_WINDOW.as_secs();
        self.wrong.retain(|at| now_s < at.saturating_add(window));
        let last = *self.wrong.last()?;
        (self.wrong.len() >= WRONG_MAX).then(|| last.saturating_add(window).saturating_sub(now_s))
    }
}

impl State {
    /// Remembers what was used before by the file in this data directory, and keeps it there from now on. To be
    /// called before the first code comes.
    ///
    /// # Errors
    /// [`UsedError`]; nothing is kept then.
    pub fn keep_in(&self, data_dir: &Path, now_s: u64) -> Result<(), UsedError> {
        let (file, used) = Used::open(data_dir, now_s / STEP_S)?;
        let mut all = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, step) in used {
            all.entry(name).or_default().used = Some(step);
        }
        self.used.get_or_init(|| file);
        Ok(())
    }

    /// Takes the code of this principal, once: also if the process ends right after.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`: `SECOND_FACTOR_NOT_ENROLLED`, `SECOND_FACTOR_WRONG` (also of a code that was
    /// used, or that is older than one that was) and `SECOND_FACTOR_LOCKED`; `UNAVAILABLE`,
    /// `SECOND_FACTOR_NOT_KEPT`, when it cannot be written down: then it is not taken.
    pub fn take(
        &self,
        secrets: &Secrets,
        name: &str,
        code: &str,
        now_s: u64,
    ) -> Result<(), Refusal> {
        let Some(secret) = secrets.find(name) else { return Err(not_enrolled(name)) };
        let mut all = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        // Those who are not enrolled any more leave with the next code of whoever comes newly.
        if !all.contains_key(name) {
            all.retain(|known, _| secrets.find(known).is_some());
        }
        let seen = all.entry(name.to_owned()).or_default();
        if let Some(seconds) = seen.locked_s(now_s) {
            self.locked.fetch_add(1, Ordering::Relaxed);
            return Err(locked(name, seconds));
        }
        let step = secret.step_of(code, now_s).filter(|step| seen.used.is_none_or(|u| u < *step));
        let Some(step) = step else {
            seen.wrong.push(now_s);
            self.wrong.fetch_add(1, Ordering::Relaxed);
            return Err(denied(
                "SECOND_FACTOR_WRONG",
                format!("the code is not the one that {name} has now, or it was used already"),
            ));
        };
        // While the others wait: they are people as well, and two codes of one moment must both be in the file.
        self.write_down(&all, name, step)?;
        let seen = all.entry(name.to_owned()).or_default();
        seen.used = Some(step);
        seen.wrong.clear();
        Ok(())
    }

    /// Makes durable that this code is used now, beside all that were.
    fn write_down(
        &self,
        all: &HashMap<String, Seen>,
        name: &str,
        step: u64,
    ) -> Result<(), Refusal> {
        let Some(file) = self.used.get() else { return Ok(()) };
        let before = all.iter().filter_map(|(name, seen)| Some((name.clone(), seen.used?)));
        let mut used: BTreeMap<_, _> = before.collect();
        used.insert(name.to_owned(), step);
        file.write(used).map_err(|error| {
            tracing::error!(%error, "a used code cannot be written down, so none is taken");
            let sentence = "the server cannot write down that the code is used; it is not";
            Refusal::new(Code::Unavailable, "SECOND_FACTOR_NOT_KEPT", sentence)
        })
    }

    /// Codes that were wrong, and codes that were not looked at because of a lock.
    #[must_use]
    pub fn refused(&self) -> (u64, u64) {
        (self.wrong.load(Ordering::Relaxed), self.locked.load(Ordering::Relaxed))
    }
}

fn denied(reason: &'static str, sentence: impl Into<String>) -> Refusal {
    Refusal::new(Code::PermissionDenied, reason, sentence)
}

fn not_enrolled(name: &str) -> Refusal {
    denied(
        "SECOND_FACTOR_NOT_ENROLLED",
        format!("this call needs a second factor, and {name} has none: `ducat operator enrol`"),
    )
}

/// Of a call without a code.
pub(super) fn needed(secrets: &Secrets, name: &str) -> Refusal {
    if secrets.find(name).is_none() {
        return not_enrolled(name);
    }
    denied(
        "SECOND_FACTOR_NEEDED",
        format!("this call needs a second factor of {name}: a code (--totp), or a token with one"),
    )
}

fn locked(name: &str, seconds: u64) -> Refusal {
    let sentence =
        format!("{WRONG_MAX} codes of {name} were wrong; the next is looked at in {seconds} s");
    let retry = Some(Duration::from_secs(seconds));
    Refusal { retry, ..denied("SECOND_FACTOR_LOCKED", sentence) }
}

#[cfg(test)]
mod tests {
    use super::secrets::Secret;
    use super::*;

    const NOW: u64 = 1_700_000_010;

    fn enrolled() -> (Secrets, Secret) {
        let secret = Secret::random().expect("randomness");
        let secrets = Secrets::of([("anna", secret.clone())]);
        (secrets, secret)
    }

    fn reason(taken: Result<(), Refusal>) -> &'static str {
        taken.map_or_else(|refusal| refusal.reason, |()| "taken")
    }

    #[test]
    fn a_code_is_taken_once_and_none_before_it() {
        let ((secrets, secret), state) = (enrolled(), State::default());
        let take = |at: u64, now: u64| reason(state.take(&secrets, "anna", &secret.code(at), now));
        assert_eq!(take(NOW, NOW), "taken");
        assert_eq!(take(NOW, NOW), "SECOND_FACTOR_WRONG", "a replay");
        assert_eq!(take(NOW - STEP_S, NOW), "SECOND_FACTOR_WRONG", "older than one that was used");
        assert_eq!(take(NOW + STEP_S, NOW), "taken", "the next");
        assert_eq!(take(NOW, NOW + STEP_S), "SECOND_FACTOR_WRONG", "still a replay");
        assert_eq!(state.refused(), (3, 0));
    }

    #[test]
    fn no_restart_makes_a_used_code_good_again() {
        let dir = tempfile::tempdir().expect("a place");
        let (secret, other) = (Secret::random().expect("one"), Secret::random().expect("another"));
        let secrets = Secrets::of([("anna", secret.clone()), ("bert", other.clone())]);
        let started = || {
            let state = State::default();
            state.keep_in(dir.path(), NOW).expect("keeps");
            state
        };
        let take =
            |state: &State, name: &str, code: &str| reason(state.take(&secrets, name, code, NOW));
        let state = started();
        assert_eq!(take(&state, "anna", &secret.code(NOW)), "taken");
        assert_eq!(take(&state, "bert", &other.code(NOW + STEP_S)), "taken", "a clock ahead");
        let state = started();
        for at in [NOW - STEP_S, NOW] {
            assert_eq!(take(&state, "anna", &secret.code(at)), "SECOND_FACTOR_WRONG", "{at}");
        }
        assert_eq!(take(&state, "bert", &other.code(NOW + STEP_S)), "SECOND_FACTOR_WRONG");
        assert_eq!(take(&state, "anna", &secret.code(NOW + STEP_S)), "taken", "the next");
    }

    #[test]
    fn a_code_that_cannot_be_written_down_is_not_taken() {
        let ((secrets, secret), state) = (enrolled(), State::default());
        let dir = tempfile::tempdir().expect("a place");
        state.keep_in(dir.path(), NOW).expect("keeps");
        // Stands for a disk that takes nothing, for whoever runs the tests: root writes anywhere.
        let in_the_way = dir.path().join("CODES.new");
        std::fs::create_dir(&in_the_way).expect("made");
        let take = || reason(state.take(&secrets, "anna", &secret.code(NOW), NOW));
        assert_eq!(take(), "SECOND_FACTOR_NOT_KEPT");
        std::fs::remove_dir(&in_the_way).expect("removed");
        assert_eq!(take(), "taken", "it was not used");
        assert_eq!(take(), "SECOND_FACTOR_WRONG");
        assert_eq!(state.refused(), (1, 0), "a disk that fails is nobody's wrong code");
    }

    #[test]
    fn clocks_may_differ_by_one_step_and_no_more() {
        for (skew, taken) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let ((secrets, secret), state) = (enrolled(), State::default());
            let at = NOW.saturating_add_signed(skew * STEP_S.cast_signed());
            let got = state.take(&secrets, "anna", &secret.code(at), NOW);
            assert_eq!(got.is_ok(), taken, "{skew} steps");
        }
    }

    #[test]
    fn wrong_codes_lock_for_a_while_and_nobody_else() {
        let (secret, other) = (Secret::random().expect("one"), Secret::random().expect("another"));
        let secrets = Secrets::of([("anna", secret.clone()), ("bert", other.clone())]);
        let state = State::default();
        for wrong in ["", "12345", "1234567", "abcdef", "+12345"] {
            assert_eq!(reason(state.take(&secrets, "anna", wrong, NOW)), "SECOND_FACTOR_WRONG");
        }
        let take = |name: &str, code: String, now| reason(state.take(&secrets, name, &code, now));
        assert_eq!(take("anna", secret.code(NOW), NOW), "SECOND_FACTOR_LOCKED", "although right");
        assert_eq!(take("bert", other.code(NOW), NOW), "taken");
        let over = NOW + WRONG_WINDOW.as_secs();
        assert_eq!(take("anna", secret.code(over - 1), over - 1), "SECOND_FACTOR_LOCKED");
        assert_eq!(take("anna", secret.code(over), over), "taken");
        assert_eq!(state.refused(), (5, 2));
    }

    #[test]
    fn who_is_not_enrolled_is_told_so_and_remembered_nowhere() {
        let ((secrets, _), state) = (enrolled(), State::default());
        for name in ["", "bert", "anna "] {
            let got = state.take(&secrets, name, "123456", NOW);
            assert_eq!(reason(got), "SECOND_FACTOR_NOT_ENROLLED", "{name}");
        }
        assert!(state.by_name.lock().expect("whole").is_empty());
    }
}
