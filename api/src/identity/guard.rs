//! The guard at the gate: makes a [`Caller`] of what a connection and a call bring, or refuses.
//!
//! Whoever shows a certificate whose name is a principal's and a token may do what both grant. A
//! token that was checked is remembered until it expires, so that its signature costs once.

use super::factor::{self, Standing};
use super::login;
use super::persons::{Proposal, Proposals, Proposed};
use super::rights::{Grant, Rights};
use super::roles::{Call, Danger, Reach, Role};
use super::tokens::{CLOCK_SKEW, Checked, TokenRefused, TokenRules};
use crate::audit::masking::Masks;
use crate::status::Refusal;
use crate::tls::Peer;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::OwnedMutexGuard;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::{Code, Status};

/// Most tokens remembered as checked. With more they are forgotten all together, and checked anew.
const REMEMBERED_MAX: usize = 1024;

/// What the guard goes by; replaced as a whole when the configuration is read again.
#[derive(Debug, Default)]
pub struct Trust {
    /// What is granted by name.
    pub rights: Rights,
    /// How tokens are checked; `None` where none are taken.
    pub tokens: Option<TokenRules>,
    /// How second factors are checked; `None` where none are asked for.
    pub factor: Option<factor::Rules>,
    /// How logins are checked; `None` where nobody logs in here.
    pub login: Option<login::Rules>,
}

/// What the paths of calls begin with that give an identity.
const LOGIN: &str = "/ducat.v1.Login/";

impl Trust {
    /// What the token grants by the rules whose key it names: those of the issuer outside, or those of logins
    /// here.
    fn check(&self, token: &str, now_s: u64) -> Result<Checked, TokenRefused> {
        let outside = self.tokens.as_ref().map(|rules| rules.check(token, &self.rights, now_s));
        match (outside, &self.login) {
            (Some(found @ (Ok(_) | Err(TokenRefused::Malformed | TokenRefused::Header))), _) => {
                found
            }
            (_, Some(login)) if login.tokens.knows_key_of(token) => {
                login.tokens.check(token, &self.rights, now_s)
            }
            (Some(found), _) => found,
            (None, _) => Err(TokenRefused::Key),
        }
    }
}

/// Decides who is calling.
#[derive(Debug)]
pub struct Guard {
    trust: RwLock<Arc<Trust>>,
    /// Counts the replacements of `trust`.
    version: AtomicU64,
    checked: Mutex<HashMap<String, Checked>>,
    codes: factor::State,
    proposals: Proposals,
    logins: login::State,
    /// Held by whoever judges an account's limits and changes them.
    limits: Arc<tokio::sync::Mutex<()>>,
    denied: AtomicU64,
    unauthenticated: AtomicU64,
}

/// Who is calling: everything that is granted to them. What one identity does not grant, another
/// does not add.
#[derive(Clone, Debug)]
pub struct Caller {
    grants: Vec<Arc<Grant>>,
    expires_s: Option<u64>,
    /// When the token's own second factor was given, seconds since the Unix epoch.
    factor_s: Option<u64>,
    of: Option<(Arc<Guard>, u64)>,
}

impl Caller {
    /// Whoever calls a server without identities: everyone may do everything.
    #[must_use]
    pub const fn anyone() -> Self {
        Self { grants: Vec::new(), expires_s: None, factor_s: None, of: None }
    }

    /// One with these names, the person's last, who may do nothing.
    #[cfg(test)]
    pub(crate) fn named(names: &[&str]) -> Self {
        let grants = names.iter().map(|name| Grant::new(name, &[], &[], &[]).map(Arc::new));
        Self { grants: grants.collect::<Result<_, _>>().expect("names"), ..Self::anyone() }
    }

    /// Of a call that came through the gate. Without a guard everyone is anyone.
    ///
    /// # Errors
    /// `INTERNAL` for a call that has passed no guard although there is one.
    pub fn of<T>(request: &tonic::Request<T>, guarded: bool) -> Result<Self, Status> {
        if !guarded {
            return Ok(Self::anyone());
        }
        let caller = request.extensions().get::<Self>().cloned();
        caller.ok_or_else(|| crate::status::internal("a call has passed no guard"))
    }

    /// Counts a call that was refused because of the accounts it concerns.
    pub fn count_denied(&self) {
        if let Some((guard, _)) = &self.of {
            guard.count_denied();
        }
    }

    /// Whether all accounts are in scope.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.grants.iter().all(|grant| grant.scope.is_all())
    }

    /// Who it is, for sentences that refuse; without what nobody should read in them, whatever a token's
    /// issuer calls its subjects.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.grants.iter().map(|grant| grant.name.as_str()).collect();
        Masks::built_in().name(&names.join(" with "))
    }

    /// All that is granted.
    #[must_use]
    pub fn grants(&self) -> &[Arc<Grant>] {
        &self.grants
    }

    /// Who is behind the call: the token's subject, or else the certificate's name. Empty of anyone.
    #[must_use]
    pub fn person(&self) -> &str {
        self.grants.last().map_or("", |grant| grant.name.as_str())
    }

    /// Both together, who may do what both may: for what one asked for and the other agreed to. It lasts as
    /// this one.
    #[must_use]
    pub(crate) fn with(&self, first: &Self) -> Self {
        let grants = first.grants.iter().chain(&self.grants).cloned().collect();
        Self { grants, ..self.clone() }
    }

    /// Whether what was granted is still what the configuration says; a token may have expired.
    #[must_use]
    pub(crate) fn is_unchanged(&self) -> bool {
        let Some((guard, version)) = &self.of else { return true };
        guard.version.load(Ordering::Acquire) == *version
    }

    /// Whether every identity has one of these roles, or is admin.
    #[must_use]
    pub fn has_one_of(&self, roles: &[Role]) -> bool {
        let has = |grant: &Arc<Grant>| {
            grant.roles.iter().any(|role| *role == Role::Admin || roles.contains(role))
        };
        self.grants.iter().all(has)
    }

    /// Whether what was granted is still so: asked again and again by what lasts, such as streams.
    ///
    /// # Errors
    /// `UNAVAILABLE` once the token has expired or the configuration was read again: the stream ends,
    /// and whether its client may open another is decided anew.
    pub fn still(&self) -> Result<(), Status> {
        let Some((guard, version)) = &self.of else { return Ok(()) };
        if guard.version.load(Ordering::Acquire) != *version {
            return Err(over("what is granted has changed; open the call again"));
        }
        if self.expires_s.is_some_and(|end| now_s() > end + CLOCK_SKEW.as_secs()) {
            return Err(over("the token has expired; open the call again with a new one"));
        }
        Ok(())
    }
}

impl Guard {
    /// A guard that goes by this.
    #[must_use]
    pub fn new(trust: Trust) -> Arc<Self> {
        Arc::new(Self {
            trust: RwLock::new(Arc::new(trust)),
            version: AtomicU64::new(0),
            checked: Mutex::default(),
            codes: factor::State::default(),
            proposals: Proposals::default(),
            logins: login::State::default(),
            limits: Arc::default(),
            denied: AtomicU64::new(0),
            unauthenticated: AtomicU64::new(0),
        })
    }

    /// Remembers used codes in this data directory, also those of before.
    ///
    /// # Errors
    /// [`UsedError`](factor::used::UsedError).
    pub fn keep_used_codes(&self, data_dir: &Path) -> Result<(), factor::used::UsedError> {
        self.codes.keep_in(data_dir, now_s())
    }

    /// Goes by this from now on. Streams that were opened before end.
    pub fn replace(&self, trust: Trust) {
        let mut held = self.trust.write().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(trust);
        self.version.fetch_add(1, Ordering::Release);
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Calls refused for want of an identity, and for want of a right.
    #[must_use]
    pub fn refused(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.unauthenticated), load(&self.denied))
    }

    /// Counts a call that was refused because of the accounts it concerns.
    pub fn count_denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }

    /// Who makes this call, once it is sure that they may.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for nobody that is known, `PERMISSION_DENIED` for somebody who may not.
    pub fn let_in(
        self: &Arc<Self>,
        path: &str,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Caller, Status> {
        let caller = self.identify(headers, peer, now_s()).inspect_err(|_| {
            self.unauthenticated.fetch_add(1, Ordering::Relaxed);
        })?;
        may_call(&caller, path).inspect_err(|_| self.count_denied())?;
        Ok(caller)
    }

    /// How the call stands with its second factor, where one is asked for: it goes with the call from here
    /// on. The header of the code is not to go any further.
    #[must_use]
    pub fn standing(
        self: &Arc<Self>,
        path: &str,
        headers: &HeaderMap,
        caller: &Caller,
    ) -> Option<Standing> {
        let trust = self.trust();
        trust.factor.as_ref()?;
        let mut codes = headers.get_all(factor::HEADER).iter();
        // Two are none: which of them was meant?
        let code = codes.next().filter(|_| codes.next().is_none());
        let code = code.and_then(|code| code.to_str().ok()).map(str::to_owned);
        Some(Standing::new(self, &trust, caller, path, code))
    }

    /// Takes a code of this person by these rules, once.
    pub(super) fn take_code(
        &self,
        trust: &Trust,
        person: &str,
        code: Option<&str>,
    ) -> Result<(), Refusal> {
        let Some(rules) = &trust.factor else { return Ok(()) };
        match code {
            Some(code) => self.codes.take(&rules.secrets, person, code, now_s()),
            None => Err(factor::needed(&rules.secrets, person)),
        }
    }

    /// Whether the caller's token says that a second factor was given, not longer ago than counts.
    pub(super) fn has_session(&self, trust: &Trust, caller: &Caller) -> bool {
        let (Some(rules), Some(given_s)) = (&trust.factor, caller.factor_s) else { return false };
        let (now, skew) = (now_s(), CLOCK_SKEW.as_secs());
        given_s <= now + skew && now <= given_s.saturating_add(rules.session.as_secs()) + skew
    }

    /// Keeps what one person may not do alone.
    pub(super) fn propose(&self, proposed: Proposed) -> Result<Proposal, Refusal> {
        self.proposals.keep(proposed, now_s())
    }

    /// What is remembered of logins.
    pub(super) const fn logins(&self) -> &login::State {
        &self.logins
    }

    /// Whether a call of this path needs no identity: how one is had.
    #[must_use]
    pub fn is_open(&self, path: &str) -> bool {
        path.starts_with(LOGIN) && self.trust().login.is_some()
    }

    /// How somebody without a certificate becomes known: by a password that is checked here, by a token.
    #[must_use]
    pub fn ways(&self) -> (bool, bool) {
        let trust = self.trust();
        (trust.login.is_some(), trust.tokens.is_some() || trust.login.is_some())
    }

    /// The turn to judge limits and change them.
    pub(super) async fn turn_of_limits(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.limits).lock_owned().await
    }

    /// What waits for a second person.
    pub(crate) const fn proposals(&self) -> &Proposals {
        &self.proposals
    }

    /// Second factors that were wrong, and codes that were not looked at because of a lock.
    #[must_use]
    pub fn codes_refused(&self) -> (u64, u64) {
        self.codes.refused()
    }

    pub(super) fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who makes a call that was refused for want of a right; for the audit trail.
    pub fn denied_caller(
        self: &Arc<Self>,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Option<Caller> {
        self.identify(headers, peer, now_s()).ok()
    }

    fn identify(
        self: &Arc<Self>,
        headers: &HeaderMap,
        peer: Option<&Peer>,
        now_s: u64,
    ) -> Result<Caller, Status> {
        // The version first: what is replaced in between ends the stream, never the other way.
        let version = self.version.load(Ordering::Acquire);
        let trust = self.trust();
        let mut grants: Vec<Arc<Grant>> = Vec::new();
        let (mut expires_s, mut factor_s) = (None, None);
        if let Some(peer) = peer {
            grants.extend(of_certificate(&trust.rights, peer)?);
        }
        if let Some(token) = bearer(headers)? {
            let checked = self.check_token(&trust, version, token, peer, now_s)?;
            grants.push(checked.grant);
            (expires_s, factor_s) = (Some(checked.expires_s), checked.factor_s);
        }
        if grants.is_empty() {
            let named = peer.is_some_and(|peer| !peer.names.is_empty());
            let takes_tokens = trust.tokens.is_some() || trust.login.is_some();
            return Err(refusal(match (named, takes_tokens) {
                (true, _) => "the certificate's name is no principal's",
                (false, true) => "a token is needed: authorization: Bearer …",
                (false, false) => "a client certificate is needed",
            }));
        }
        Ok(Caller { grants, expires_s, factor_s, of: Some((Arc::clone(self), version)) })
    }

    fn check_token(
        &self,
        trust: &Trust,
        version: u64,
        token: &str,
        peer: Option<&Peer>,
        now_s: u64,
    ) -> Result<Checked, Status> {
        if trust.tokens.is_none() && trust.login.is_none() {
            return Err(refusal("this server takes no tokens"));
        }
        let known = self.remembered(token).filter(|known| now_s <= known.expires_s);
        let checked = match known {
            Some(known) => known,
            None => {
                let checked = trust.check(token, now_s).map_err(not_taken)?;
                self.remember(token, &checked, version);
                checked
            }
        };
        if let Some(bound_to) = checked.bound_to
            && peer.map(|peer| peer.sha256) != Some(bound_to)
        {
            return Err(not_taken(TokenRefused::Binding));
        }
        Ok(checked)
    }

    fn remembered(&self, token: &str) -> Option<Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    fn remember(&self, token: &str, checked: &Checked, version: u64) {
        let mut all = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        // What was checked by rules that are replaced now must not outlive them.
        if self.version.load(Ordering::Acquire) != version {
            return;
        }
        if all.len() >= REMEMBERED_MAX {
            all.clear();
        }
        all.insert(token.to_owned(), checked.clone());
    }
}

/// What the certificate's name is granted. Nothing, where it is no principal's; a refusal, where it
/// is several.
fn of_certificate(rights: &Rights, peer: &Peer) -> Result<Option<Arc<Grant>>, Status> {
    let mut found = peer.names.iter().filter_map(|name| rights.find(name));
    let first = found.next();
    if found.next().is_some() {
        return Err(refusal("the certificate has the names of several principals"));
    }
    Ok(first)
}

/// Whether the gate asks for a second factor before anything of this call is read.
#[must_use]
pub fn is_always_dangerous(path: &str) -> bool {
    Call::find(path).is_some_and(|call| call.danger == Danger::Always)
}

/// Whether every identity has a role for the call, and a scope that fits what it is about.
pub(crate) fn may_call(caller: &Caller, path: &str) -> Result<(), Status> {
    let Some(call) = Call::find(path) else {
        return Err(denied("CALL_UNKNOWN", "this is no call that anybody may make"));
    };
    let allowed = |grant: &Arc<Grant>| grant.roles.iter().any(|role| call.allows(*role));
    if !caller.grants.iter().all(allowed) {
        let method = path.rsplit('/').next().unwrap_or_default();
        return Err(denied("ROLE_MISSING", format!("{} has no role for {method}", caller.names())));
    }
    if call.reach == Reach::Whole && !caller.sees_all() {
        let method = path.rsplit('/').next().unwrap_or_default();
        let sentence =
            format!("{method} is about all accounts, and not all are {}'s", caller.names());
        return Err(denied("OUT_OF_SCOPE", sentence));
    }
    Ok(())
}

/// The one token of the headers. Two are none: which of them was meant?
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refusal("there are two authorization headers"));
    }
    let text = value.to_str().map_err(|_| refusal("the authorization header is no text"))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token)),
        _ => Err(refusal("the authorization header is not: Bearer TOKEN")),
    }
}

fn not_taken(why: TokenRefused) -> Status {
    refusal(format!("the token is not taken: {why}"))
}

fn refusal(sentence: impl Into<String>) -> Status {
    Refusal::new(Code::Unauthenticated, "UNAUTHENTICATED", sentence).into()
}

fn over(sentence: &str) -> Status {
    Refusal::new(Code::Unavailable, "CREDENTIALS_OVER", sentence).into()
}

fn denied(reason: &'static str, sentence: impl Into<String>) -> Status {
    Refusal::new(Code::PermissionDenied, reason, sentence).into()
}

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
