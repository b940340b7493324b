//! Openings that are asked for again, when another key seals than did the first time.
//!
//! A repeat is told from another opening by its content, which is sealed: under the newest key it is another
//! content. So an opening that comes out as another than the one that was done is looked at once more as it was
//! sealed under each older key, and as it was before its fields were secret. These looks are dry runs: what
//! is written is sealed under the newest key.

use super::{Metadata, SecretFields, replace};
use ducat_engine::account_event::Opening;

/// How the secret values of an opening may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Sealed under the older key of this name.
    Under(String),
    /// As they are: it was opened before they were secret.
    Plain,
}

impl SecretFields {
    /// All forms in which openings of before may be kept, the newest first, without that of now.
    #[must_use]
    pub fn older_forms(&self) -> Vec<Form> {
        let keys = self.keys();
        let names = keys.names().into_iter().rev().skip(1);
        names.map(|name| Form::Under(name.to_owned())).chain([Form::Plain]).collect()
    }

    /// A sealed opening in another form; `None` where it holds nothing secret, or what it holds cannot be
    /// opened. Whoever asks for the plain form drops it soon: [`Self::forget`].
    #[must_use]
    pub fn in_form(&self, opening: &Opening, form: &Form) -> Option<Opening> {
        if !self.are_in(&opening.profile.metadata) {
            return None;
        }
        let (keys, id, mut other) = (self.keys(), opening.spec.id, opening.clone());
        let all = self.secret(&mut other.profile.metadata).all(|(key, value)| {
            let text = keys.open(id, key, value).ok();
            let text = text.and_then(|text| match form {
                Form::Under(name) => keys.seal_under(name, id, key, &text),
                Form::Plain => Some(text.to_string()),
            });
            text.map(|text| replace(value, text)).is_some()
        });
        if all {
            return Some(other);
        }
        self.forget(&mut other);
        None
    }

    /// Overwrites the secret values of an opening.
    pub fn forget(&self, opening: &mut Opening) {
        for (_, value) in self.secret(&mut opening.profile.metadata) {
            replace(value, String::new());
        }
    }

    fn secret<'m>(
        &self,
        metadata: &'m mut Metadata,
    ) -> impl Iterator<Item = (&'m String, &'m mut String)> {
        metadata.iter_mut().filter(|(key, _)| self.is_secret(key))
    }
}
