//! Logging in with a password and a second factor: what is asked, and the tokens that are given.
//!
//! ```text
//! name, password, code ▸ not locked ▸ a place to compute in ▸ Argon2id ▸ code ▸ named in [[principals]]
//!   ▸ a token for 15 minutes, and a refresh token: used once, each for the next of its family
//! ```
//!
//! Whatever is wrong is told in the same words after the same work. Tokens are checked by the way of all
//! others, with a key of the server's own; what they grant is what [[principals]] grant the name. Families of refresh
//! tokens are in memory: a restart asks everybody to log in again.

use super::guard::{Guard, Trust};
use super::issue::{Claims, issue};
use super::passwords::{self, Passwords};
use super::tokens::TokenRules;
use crate::status::{self, Refusal};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status};
use uuid::Uuid;

/// Who issues tokens of a login: their `iss`.
pub const ISSUER: &str = "ducat:login";

/// How long a token of a login is valid.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// How long a login can be refreshed for.
pub const FAMILY_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Failed logins of one name within [`FAILED_WINDOW`], after which it is locked.
pub const FAILED_MAX: usize = 5;

/// Failed logins that are older do not count, and a lock lasts as long.
pub const FAILED_WINDOW: Duration = Duration::from_secs(15 * 60);

/// Passwords that are computed at a time; each takes a core and 19 MiB meanwhile.
const COMPUTED_MAX: usize = 2;

/// Logins that wait for that or are at it; more are told to come back.
const WAITING_MAX: usize = 32;

/// Names whose failed logins are counted. Those beyond share one count, but for names that have a password.
const NAMES_MAX: usize = 4096;

/// Logins that can be refreshed, in all and of one name; beyond it the oldest ends.
const FAMILIES_MAX: usize = 1024;
const FAMILIES_EACH_MAX: usize = 16;

/// How logins are checked, and what signs their tokens.
pub struct Rules {
    /// Who has which password.
    pub passwords: Passwords,
    /// The private key that signs tokens, in PEM.
    pub key: String,
    /// How these tokens are checked.
    pub tokens: TokenRules,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key.
        f.debug_struct("Rules").field("passwords", &self.passwords).finish_non_exhaustive()
    }
}

/// What is given to somebody who has logged in.
#[derive(Clone)]
pub struct Given {
    /// The bearer token.
    pub token: String,
    /// Until when it is valid, seconds since the Unix epoch.
    pub expires_s: u64,
    /// For the next token, once.
    pub refresh: String,
}

/// Where the tokens of a login are kept, and so what they are worth to whoever steals one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// A program has them, in files of its own: they bring the second factor along.
    Program,
    /// A page in a browser has them, which changes nothing: they bring none, so dangerous calls are not made with
    /// them.
    Page,
}

/// A login that can be refreshed.
struct Family {
    name: String,
    keeper: Keeper,
    /// The hash of the one refresh token that is good.
    next: blake3::Hash,
    /// When password and code were given, seconds since the Unix epoch.
    at_s: u64,
    /// The password's hash was this one then: another ends it.
    password: blake3::Hash,
}

/// What a refresh token was good for.
struct Rotated {
    name: String,
    keeper: Keeper,
    at_s: u64,
    /// The next of its family.
    refresh: String,
}

/// What is remembered of logins; outlives a change of the rules.
pub struct State {
    failed: Mutex<HashMap<String, Vec<u64>>>,
    families: Mutex<BTreeMap<Uuid, Family>>,
    waiting: Arc<Semaphore>,
    computing: Arc<Semaphore>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            failed: Mutex::default(),
            families: Mutex::default(),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            computing: Arc::new(Semaphore::new(COMPUTED_MAX)),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// One sentence for whatever is wrong: who asks learns nothing of what was right.
fn refused() -> Refusal {
    let sentence = "name, password and code do not go together";
    Refusal::new(Code::Unauthenticated, "LOGIN_REFUSED", sentence)
}

/// Of a login without a code: told before anything is looked at, so it says nothing of the name.
fn code_needed() -> Refusal {
    let sentence = "a login needs the code that the second factor shows now";
    Refusal::new(Code::Unauthenticated, "SECOND_FACTOR_NEEDED", sentence)
}

fn not_refreshed() -> Refusal {
    let sentence = "the refresh token is none that is good; log in again";
    Refusal::new(Code::Unauthenticated, "REFRESH_REFUSED", sentence)
}

impl State {
    /// Counts a try before it is looked at, so that many at once are no more than many one by one. Somebody who
    /// is known, that is has a password, is counted alone, however many names are tried.
    fn begin(&self, name: &str, is_known: bool, now_s: u64) -> Result<(), Refusal> {
        let window = FAILED_WINDOW.as_secs();
        let mut all = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !all.contains_key(name);
        if is_new && all.len() >= NAMES_MAX {
            all.retain(|_, tries| tries.last().is_some_and(|at| now_s < at.saturating_add(window)));
        }
        let shares = is_new && !is_known && all.len() >= NAMES_MAX;
        let key = if shares { "" } else { name };
        let tries = all.entry(key.to_owned()).or_default();
        tries.retain(|at| now_s < at.saturating_add(window));
        if let Some(last) = tries.last().filter(|_| tries.len() >= FAILED_MAX) {
            let seconds = last.saturating_add(window).saturating_sub(now_s);
            let sentence = format!(
                "{FAILED_MAX} logins of this name failed; the next is looked at in {seconds} s"
            );
            let locked = Refusal::new(Code::Unauthenticated, "LOGIN_LOCKED", sentence);
            return Err(Refusal { retry: Some(Duration::from_secs(seconds)), ..locked });
        }
        tries.push(now_s);
        Ok(())
    }

    fn succeeded(&self, name: &str) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// A place among those who log in.
    fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| {
            let sentence = "too many are logging in at this moment";
            let refusal = Refusal::new(Code::ResourceExhausted, "LOGINS_FULL", sentence);
            Refusal { retry: Some(Duration::from_secs(1)), ..refusal }
        })
    }

    /// Whether this is the password of that hash, computed where it keeps nobody else from being served. Nothing
    /// stops it once it has begun, so its places go with it, whether anybody still waits or not.
    async fn verify(
        &self,
        place: OwnedSemaphorePermit,
        stored: Option<String>,
        password: String,
    ) -> Result<bool, Status> {
        let computing = Arc::clone(&self.computing).acquire_owned().await;
        let computing = computing.map_err(|_| status::internal("logins have ended"))?;
        let work = move || {
            let _held = (place, computing);
            passwords::verify(stored.as_deref(), &password)
        };
        let verified = tokio::task::spawn_blocking(work).await;
        verified.map_err(|_| status::internal("a login ended in a panic"))
    }

    /// Keeps a new family, and gives its first token.
    fn keep(&self, name: &str, keeper: Keeper, at_s: u64, stored: &str) -> String {
        let (id, secret) = (Uuid::now_v7(), random());
        let mut all = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let lifetime = FAMILY_LIFETIME.as_secs();
        all.retain(|_, family| at_s < family.at_s.saturating_add(lifetime));
        let of_name = all.iter().filter(|(_, family)| family.name == name);
        // Ids are in the order of time, so the first is the oldest.
        let oldest_of_name = of_name.clone().map(|(id, _)| *id).next();
        if let Some(oldest) = oldest_of_name.filter(|_| of_name.count() >= FAMILIES_EACH_MAX) {
            all.remove(&oldest);
        }
        if all.len() >= FAMILIES_MAX {
            all.pop_first();
        }
        let (next, password) = (blake3::hash(secret.as_bytes()), blake3::hash(stored.as_bytes()));
        all.insert(id, Family { name: name.to_owned(), keeper, next, at_s, password });
        format!("{id}.{secret}")
    }

    /// Uses a refresh token up. One that was used, or is none, ends its whole family: one of two who have it has
    /// stolen it.
    fn rotate(&self, token: &str, passwords: &Passwords, now_s: u64) -> Result<Rotated, Refusal> {
        let (id, secret) = token.split_once('.').ok_or_else(not_refreshed)?;
        let id = Uuid::try_parse(id).map_err(|_| not_refreshed())?;
        let mut all = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let family = all.get_mut(&id).ok_or_else(not_refreshed)?;
        let stored = passwords.find(&family.name).map(|hash| blake3::hash(hash.as_bytes()));
        // Both compare in constant time.
        let is_good = family.next == blake3::hash(secret.as_bytes())
            && stored == Some(family.password)
            && now_s < family.at_s.saturating_add(FAMILY_LIFETIME.as_secs());
        if !is_good {
            all.remove(&id);
            return Err(not_refreshed());
        }
        let secret = random();
        family.next = blake3::hash(secret.as_bytes());
        let Family { name, keeper, at_s, .. } = family;
        let refresh = format!("{id}.{secret}");
        Ok(Rotated { name: name.clone(), keeper: *keeper, at_s: *at_s, refresh })
    }

    fn end(&self, token: &str) {
        let Some((id, secret)) = token.split_once('.') else { return };
        let Ok(id) = Uuid::try_parse(id) else { return };
        let mut all = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(&id).is_some_and(|family| family.next == blake3::hash(secret.as_bytes())) {
            all.remove(&id);
        }
    }
}

/// 160 random bits as a text.
fn random() -> String {
    totp_rs::Secret::generate().to_base32()
}

/// A token of this name. Of a program's it says that the second factor was given at that moment.
fn token(
    rules: &Rules,
    name: &str,
    keeper: Keeper,
    at_s: u64,
    now_s: u64,
) -> Result<(String, u64), Status> {
    let claims = Claims::new(name, ISSUER, &rules.tokens.audience, now_s, TOKEN_LIFETIME);
    let claims = match keeper {
        Keeper::Program => Claims { auth_time: Some(at_s), ..claims.with_second_factor() },
        Keeper::Page => claims,
    };
    let signed = issue(&rules.key, &claims);
    let signed = signed.map_err(|error| status::internal(&error.to_string()))?;
    Ok((signed, claims.exp))
}

impl Guard {
    /// Somebody logs in.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`: `LOGIN_REFUSED`, whatever is wrong, `LOGIN_LOCKED`, and `SECOND_FACTOR_NEEDED` without any
    /// code; `RESOURCE_EXHAUSTED`, `LOGINS_FULL`.
    pub async fn log_in(
        &self,
        name: &str,
        password: String,
        code: &str,
        keeper: Keeper,
    ) -> Result<Given, Status> {
        let trust = self.trust();
        let rules = self.login_rules(&trust)?;
        let now_s = super::guard::now_s();
        if code.is_empty() {
            return Err(code_needed().into());
        }
        if name.is_empty()
            || name.len() > super::rights::NAME_BYTES_MAX
            || password.len() > passwords::BYTES_MAX
        {
            return Err(refused().into());
        }
        let logins = self.logins();
        let place = logins.place()?;
        let stored = rules.passwords.find(name).map(str::to_owned);
        logins.begin(name, stored.is_some(), now_s)?;
        let is_right = logins.verify(place, stored.clone(), password).await?;
        let Some(stored) = stored.filter(|_| is_right) else { return Err(refused().into()) };
        if trust.rights.find(name).is_none() || self.take_code(&trust, name, Some(code)).is_err() {
            return Err(refused().into());
        }
        logins.succeeded(name);
        let (token, expires_s) = token(rules, name, keeper, now_s, now_s)?;
        let refresh = logins.keep(name, keeper, now_s, &stored);
        Ok(Given { token, expires_s, refresh })
    }

    /// The next token of a login.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `REFRESH_REFUSED`; the login is over then.
    pub fn refresh(&self, refresh: &str) -> Result<Given, Status> {
        let trust = self.trust();
        let rules = self.login_rules(&trust)?;
        let now_s = super::guard::now_s();
        let rotated = self.logins().rotate(refresh, &rules.passwords, now_s)?;
        let Rotated { name, keeper, at_s, refresh } = rotated;
        if trust.rights.find(&name).is_none() {
            self.logins().end(&refresh);
            return Err(not_refreshed().into());
        }
        let (token, expires_s) = token(rules, &name, keeper, at_s, now_s)?;
        Ok(Given { token, expires_s, refresh })
    }

    /// Ends a login: its refresh token is worth nothing any more. Whatever was given before lasts its 15
    /// minutes. One that is none ends nothing.
    pub fn log_out(&self, refresh: &str) {
        self.logins().end(refresh);
    }

    fn login_rules<'a>(&self, trust: &'a Arc<Trust>) -> Result<&'a Rules, Status> {
        trust.login.as_ref().ok_or_else(|| {
            let sentence = "nobody logs in here; tokens come from elsewhere";
            Refusal::new(Code::FailedPrecondition, "LOGIN_OFF", sentence).into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn passwords() -> (tempfile::TempDir, Passwords) {
        let dir = tempfile::tempdir().expect("a place for tests");
        let path = dir.path().join("passwords.toml");
        Passwords::set(&path, "anna", "otter lantern quarry velvet").expect("written");
        let read = Passwords::read(&path).expect("sound");
        (dir, read)
    }

    fn keep(state: &State, passwords: &Passwords, at_s: u64) -> String {
        state.keep("anna", Keeper::Program, at_s, passwords.find("anna").expect("there"))
    }

    fn reason<T>(result: Result<T, Refusal>) -> &'static str {
        result.map_or_else(|refusal| refusal.reason, |_| "done")
    }

    #[test]
    fn a_refresh_token_is_good_once_and_a_second_use_ends_all_of_its_family() {
        let ((_dir, passwords), state) = (passwords(), State::default());
        let first = keep(&state, &passwords, NOW);
        let other = keep(&state, &passwords, NOW);
        let rotate = |token: &str, now| state.rotate(token, &passwords, now);
        let Rotated { name, at_s, refresh: second, .. } = rotate(&first, NOW + 60).expect("good");
        assert_eq!((name.as_str(), at_s), ("anna", NOW), "when the factor was given");
        let third = rotate(&second, NOW + 120).expect("good").refresh;
        assert_eq!(reason(rotate(&first, NOW + 180)), "REFRESH_REFUSED", "used already");
        assert_eq!(reason(rotate(&third, NOW + 180)), "REFRESH_REFUSED", "its family is over");
        assert!(rotate(&other, NOW + 180).is_ok(), "another login is not");
    }

    #[test]
    fn a_login_ends_with_its_time_its_password_and_its_logout() {
        let ((_dir, passwords), state) = (passwords(), State::default());
        let rotate =
            |token: &str, passwords: &Passwords, now| reason(state.rotate(token, passwords, now));
        let late = NOW + FAMILY_LIFETIME.as_secs();
        let one = keep(&state, &passwords, NOW);
        assert_eq!(rotate(&one, &passwords, late), "REFRESH_REFUSED");
        let two = keep(&state, &passwords, NOW);
        let (_other_dir, changed) = self::passwords();
        assert_eq!(rotate(&two, &changed, NOW), "REFRESH_REFUSED", "another hash");
        let three = keep(&state, &passwords, NOW);
        assert_eq!(rotate(&three, &Passwords::default(), NOW), "REFRESH_REFUSED", "no password");
        let four = keep(&state, &passwords, NOW);
        state.end(&four[..four.len() - 1]);
        state.end(&four);
        assert_eq!(rotate(&four, &passwords, NOW), "REFRESH_REFUSED");
        for none in ["", ".", "a.b", "00000000-0000-7000-8000-000000000000.x"] {
            assert_eq!(rotate(none, &passwords, NOW), "REFRESH_REFUSED", "{none}");
        }
    }

    #[test]
    fn logins_that_can_be_refreshed_are_bounded_for_each_name() {
        let ((_dir, passwords), state) = (passwords(), State::default());
        let all: Vec<String> =
            (0..=FAMILIES_EACH_MAX).map(|_| keep(&state, &passwords, NOW)).collect();
        let rotated = |at: usize| reason(state.rotate(&all[at], &passwords, NOW));
        assert_eq!(rotated(0), "REFRESH_REFUSED", "the oldest has ended");
        assert_eq!(rotated(1), "done");
    }

    #[test]
    fn tries_are_counted_before_they_are_looked_at_for_known_and_unknown_names() {
        let state = State::default();
        let begin = |name: &str, now| state.begin(name, name == "anna" || name == "dora", now);
        for name in ["anna", "nobody"] {
            for _ in 0..FAILED_MAX {
                assert_eq!(reason(begin(name, NOW)), "done");
            }
            assert_eq!(reason(begin(name, NOW)), "LOGIN_LOCKED", "{name}");
        }
        assert_eq!(reason(begin("bert", NOW)), "done");
        let over = NOW + FAILED_WINDOW.as_secs();
        assert_eq!(reason(begin("anna", over - 1)), "LOGIN_LOCKED");
        assert_eq!(reason(begin("anna", over)), "done");
        state.succeeded("anna");
        // Names without end are counted together, and lock one another.
        for n in 0..NAMES_MAX + FAILED_MAX {
            let _counted = begin(&format!("name-{n}"), over);
        }
        assert_eq!(reason(begin("yet another", over)), "LOGIN_LOCKED");
        assert!(state.failed.lock().expect("whole").len() <= NAMES_MAX + 1);
        // Who has a password is locked by tries of their own alone.
        for _ in 0..FAILED_MAX {
            assert_eq!(reason(begin("dora", over)), "done");
        }
        assert_eq!(reason(begin("dora", over)), "LOGIN_LOCKED");
        assert_eq!(reason(begin("anna", over)), "done");
    }

    #[test]
    fn a_password_that_is_computed_holds_its_places_when_nobody_waits_any_more() {
        let mut one_thread = tokio::runtime::Builder::new_current_thread();
        let runtime = one_thread.max_blocking_threads(1).build().expect("a runtime");
        runtime.block_on(async {
            let state = State::default();
            let free = || (state.waiting.available_permits(), state.computing.available_permits());
            // So that the computing cannot be over before it is looked at.
            let (release, released) = std::sync::mpsc::channel::<()>();
            let blocker = tokio::task::spawn_blocking(move || released.recv());
            for held in 1..=COMPUTED_MAX {
                let place = state.place().expect("room");
                let mut verified = Box::pin(state.verify(place, None, String::new()));
                let begun = std::future::poll_fn(|context| {
                    std::task::Poll::Ready(verified.as_mut().poll(context).is_pending())
                });
                assert!(begun.await, "it computes");
                drop(verified);
                assert_eq!(free(), (WAITING_MAX - held, COMPUTED_MAX - held));
            }
            release.send(()).expect("it waits");
            blocker.await.expect("no panic").expect("released");
            let all = state.computing.acquire_many(COMPUTED_MAX as u32).await;
            assert_eq!(all.expect("open").num_permits(), COMPUTED_MAX, "they come back");
        });
    }
}
