//! What one caller may take of what all need: memory of requests and of answers ([`crate::budget`]), places for calls
//! ([`crate::rates::places`]). Looked up by name once, and kept by the connection: the next call on it is mostly
//! the same caller's.

use crate::budget::Share;
use crate::rates::places::{Own, Place};
use crate::status::Refusal;
use std::sync::{Arc, Mutex, PoisonError};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;

/// What one caller may take. Clones are the same.
#[derive(Clone)]
pub(crate) struct Shares {
    pub requests: Share,
    pub answers: Share,
    /// By each of its names.
    pub places: Arc<[Own]>,
}

/// The places of a call of this caller's, or the headers of its refusal.
pub(crate) fn place(shares: Option<&Shares>) -> Result<Option<Place>, http::HeaderMap> {
    let Some(shares) = shares else { return Ok(None) };
    let refused = |refusal: Refusal| Status::from(refusal).into_http::<Body>().headers().clone();
    Place::take(&shares.places).map(Some).map_err(refused)
}

/// Who made the last call of a connection, and what that one may take.
#[derive(Default)]
pub(crate) struct LastCaller(Mutex<Option<Known>>);

struct Known {
    names: Box<[Box<str>]>,
    shares: Shares,
}

impl LastCaller {
    /// What the caller of these names may take, looked up by `look_up` unless it made the last call.
    pub fn shares<'a>(
        &self,
        names: impl Iterator<Item = &'a str> + Clone,
        look_up: impl FnOnce() -> Shares,
    ) -> Shares {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*last
            && known.names.iter().map(AsRef::as_ref).eq(names.clone())
        {
            return known.shares.clone();
        }
        let shares = look_up();
        *last = Some(Known { names: names.map(Box::from).collect(), shares: shares.clone() });
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::rates::places::Places;

    #[test]
    fn a_caller_is_looked_up_when_it_is_another_one() {
        let (budget, places) = (Budget::default(), Places::of_principals(1));
        let last = LastCaller::default();
        let looked_up = std::cell::Cell::new(0);
        let ask = |names: &[&str]| {
            last.shares(names.iter().copied(), || {
                looked_up.set(looked_up.get() + 1);
                let places = names.iter().map(|name| places.own(name)).collect();
                let share = budget.share(names[0]);
                Shares { requests: share.clone(), answers: share, places }
            })
        };
        let one = ask(&["one"]);
        let open = place(Some(&one)).expect("a place");
        assert!(place(Some(&ask(&["one"]))).is_err(), "the same caller");
        assert_eq!(looked_up.get(), 1);
        assert!(place(Some(&ask(&["two"]))).is_ok(), "another one");
        assert!(place(Some(&ask(&["two", "one"]))).is_err(), "both are asked for");
        drop(open);
        assert!(place(Some(&ask(&["two", "one"]))).is_ok());
        assert_eq!(looked_up.get(), 3);
        assert!(place(None).expect("nobody's").is_none());
    }
}
