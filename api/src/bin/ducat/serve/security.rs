//! The flags of encryption and identity, and what a profile makes of all flags together.

use crate::causes::with_causes;
use crate::config::File;
use crate::exit::Failure;
use clap::{Args, ValueEnum};
use ducat_api::identity::factor::{self, Secrets};
use ducat_api::identity::guard::Trust;
use ducat_api::identity::issue::public_key;
use ducat_api::identity::keys::{TokenKeys, algorithm};
use ducat_api::identity::login;
use ducat_api::identity::passwords::Passwords;
use ducat_api::identity::persons::{Amount, Amounts};
use ducat_api::identity::tokens::TokenRules;
use ducat_api::tls::{Clients, Tls, TlsFiles};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How much is asked of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// What helps to begin: plain text and everybody, on loopback.
    Development,
    /// What a ledger of real money needs; whatever falls short is refused.
    Production,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientsArg {
    /// Without one nobody connects.
    Required,
    /// They may.
    Optional,
    /// None is asked for.
    Off,
}

/// Options of encryption and identity.
#[derive(Args, Clone, Debug)]
pub struct SecurityArgs {
    /// What is asked of all settings together: production refuses whatever is not safe for real
    /// money, and says which settings those are.
    #[arg(long, env = "DUCAT_PROFILE", value_enum, default_value = "development")]
    pub profile: Profile,
    /// The server's certificate, in PEM, and those between it and its CA: with one, every
    /// connection is TLS 1.3.
    #[arg(long, env = "DUCAT_TLS_SERVER_CERT", value_name = "FILE")]
    pub tls_server_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[arg(long, env = "DUCAT_TLS_SERVER_KEY", value_name = "FILE")]
    pub tls_server_key: Option<PathBuf>,
    /// The CAs of clients' certificates, in PEM.
    #[arg(long, env = "DUCAT_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Whether clients show a certificate.
    #[arg(long, env = "DUCAT_TLS_CLIENTS", value_enum, default_value = "required")]
    pub tls_clients: ClientsArg,
    /// The public keys of bearer tokens: a JWKS file, or PEM.
    #[arg(long, env = "DUCAT_TOKEN_KEYS", value_name = "FILE")]
    pub token_keys: Option<PathBuf>,
    /// Who must have issued a token: its `iss`.
    #[arg(long, env = "DUCAT_TOKEN_ISSUER", value_name = "TEXT")]
    pub token_issuer: Option<String>,
    /// For whom a token must be: its `aud`.
    #[arg(long, env = "DUCAT_TOKEN_AUDIENCE", default_value = "ducat", value_name = "TEXT")]
    pub token_audience: String,
    /// The algorithms that tokens may be signed with; all have public keys.
    #[arg(long, env = "DUCAT_TOKEN_ALGORITHMS", default_values_t = ["EdDSA".to_owned(),
          "ES256".to_owned()], value_delimiter = ',', value_parser = algorithm_name,
          value_name = "NAMES")]
    pub token_algorithms: Vec<String>,
    /// A token that is valid for longer from now on is refused, seconds.
    #[arg(long, env = "DUCAT_TOKEN_LIFETIME_MAX_S", default_value_t = 3600,
          value_parser = clap::value_parser!(u64).range(1..=86_400), value_name = "SECONDS")]
    pub token_lifetime_max_s: u64,
    /// The file of second factors, as `ducat operator enrol` writes it: with one, dangerous calls need a code
    /// of whoever makes them, or a token with a second factor.
    #[arg(long, env = "DUCAT_SECOND_FACTOR_SECRETS", value_name = "FILE")]
    pub second_factor_secrets: Option<PathBuf>,
    /// For how long a token's own second factor counts, seconds from its `auth_time` on.
    #[arg(long, env = "DUCAT_SECOND_FACTOR_SESSION_S", default_value_t = 900,
          value_parser = clap::value_parser!(u64).range(1..=86_400), value_name = "SECONDS")]
    pub second_factor_session_s: u64,
    /// The amounts above which a dangerous call needs a second person, in minor units, by currency:
    /// GBP=1000000, and * for all others. A currency that is not named needs two persons always.
    #[arg(long, env = "DUCAT_TWO_PERSONS_ABOVE", value_delimiter = ',', value_name = "AMOUNTS")]
    pub two_persons_above: Vec<Amount>,
    /// The file of passwords, as `ducat operator password` writes it: with one, principals log in with
    /// password and second factor (`ducat login`).
    #[arg(long, env = "DUCAT_LOGIN_PASSWORDS", value_name = "FILE")]
    pub login_passwords: Option<PathBuf>,
    /// The private key that signs the tokens of logins, as `ducat key generate` makes it.
    #[arg(long, env = "DUCAT_LOGIN_KEY", value_name = "FILE")]
    pub login_key: Option<PathBuf>,
}

fn algorithm_name(name: &str) -> Result<String, String> {
    algorithm(name).map(|_| name.to_owned())
}

impl SecurityArgs {
    /// The files of TLS, if it is asked for.
    pub fn tls_files(&self) -> Result<Option<TlsFiles>, Failure> {
        let (certificate, key) = match (&self.tls_server_cert, &self.tls_server_key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (None, None) if self.tls_client_ca.is_some() => {
                return Err(Failure::usage(
                    "--tls-client-ca is there and the server has no certificate of its own: add \
                     --tls-server-cert and --tls-server-key",
                ));
            }
            (None, None) => return Ok(None),
            _ => {
                return Err(Failure::usage(
                    "--tls-server-cert and --tls-server-key go together, and one is missing",
                ));
            }
        };
        let clients = match self.tls_clients {
            ClientsArg::Required => Clients::Required,
            ClientsArg::Optional => Clients::Optional,
            ClientsArg::Off => Clients::Off,
        };
        if clients != Clients::Off && self.tls_client_ca.is_none() {
            return Err(Failure::usage(
                "clients are asked for certificates, and nobody says whose are trusted: name their \
                 CA with --tls-client-ca, or ask for none with --tls-clients off",
            ));
        }
        Ok(Some(TlsFiles { certificate, key, client_ca: self.tls_client_ca.clone(), clients }))
    }

    /// TLS, read from its files.
    pub fn tls(&self) -> Result<Option<Arc<Tls>>, Failure> {
        let files = self.tls_files()?;
        let tls = files.map(Tls::load).transpose();
        tls.map_err(|error| Failure::usage(with_causes(&error)))
    }

    /// Whether anything is granted to anybody by name or by token: else everyone may do everything.
    pub fn asks_who(&self, file: Option<&File>) -> bool {
        self.token_keys.is_some() || file.is_some_and(|file| !file.rights.is_empty())
    }

    /// What the guard goes by, read from its files.
    pub fn trust(&self, file: Option<&File>) -> Result<Trust, Failure> {
        let rights = file.map(|file| file.rights.clone()).unwrap_or_default();
        let (factor, login) = (self.factor()?, self.login()?);
        let Some(path) = &self.token_keys else {
            return Ok(Trust { rights, tokens: None, factor, login });
        };
        let Some(issuer) = &self.token_issuer else {
            return Err(Failure::usage(
                "--token-keys is there and nobody says who issues tokens: add --token-issuer",
            ));
        };
        let keys = TokenKeys::read(path).map_err(|error| Failure::usage(with_causes(&error)))?;
        let algorithms = self.token_algorithms.iter().map(|name| algorithm(name));
        let algorithms = algorithms.collect::<Result<_, _>>().map_err(Failure::usage)?;
        let tokens = Some(TokenRules {
            keys,
            algorithms,
            issuer: issuer.clone(),
            audience: self.token_audience.clone(),
            lifetime_max: Duration::from_secs(self.token_lifetime_max_s),
        });
        Ok(Trust { rights, tokens, factor, login })
    }

    /// How logins are checked, read from their files.
    fn login(&self) -> Result<Option<login::Rules>, Failure> {
        let (path, key_path) = match (&self.login_passwords, &self.login_key) {
            (Some(path), Some(key)) => (path, key),
            (None, None) => return Ok(None),
            _ => {
                return Err(Failure::usage(
                    "--login-passwords and --login-key go together, and one is missing",
                ));
            }
        };
        let passwords = Passwords::read(path);
        let passwords = passwords.map_err(|error| Failure::usage(with_causes(&error)))?;
        let of_key = |why: String| {
            Failure::usage(format!("the key of logins {}: {why}", key_path.display()))
        };
        let key = std::fs::read_to_string(key_path).map_err(|error| of_key(error.to_string()))?;
        let public = public_key(&key).map_err(|error| of_key(with_causes(&error)))?;
        let tokens = TokenRules {
            keys: TokenKeys::parse(&public).map_err(of_key)?,
            algorithms: vec![algorithm("EdDSA").map_err(Failure::usage)?],
            issuer: login::ISSUER.to_owned(),
            audience: self.token_audience.clone(),
            lifetime_max: login::TOKEN_LIFETIME,
        };
        Ok(Some(login::Rules { passwords, key, tokens }))
    }

    /// How second factors are checked, read from their file.
    fn factor(&self) -> Result<Option<factor::Rules>, Failure> {
        let Some(path) = &self.second_factor_secrets else { return Ok(None) };
        let secrets = Secrets::read(path).map_err(|error| Failure::usage(with_causes(&error)))?;
        let two_persons = Amounts::new(&self.two_persons_above).map_err(Failure::usage)?;
        let session = Duration::from_secs(self.second_factor_session_s);
        Ok(Some(factor::Rules { secrets, session, two_persons }))
    }
}

/// Refuses what the profile does not allow, and settings that do not fit together.
pub fn check(args: &super::ServeArgs, file: Option<&File>) -> Result<(), Failure> {
    let security = &args.security;
    let tls = security.tls_files()?;
    let asks_who = security.asks_who(file);
    if let Some(tls) = &tls
        && tls.clients != Clients::Off
        && !asks_who
    {
        return Err(Failure::usage(
            "clients are asked for certificates, and nothing is granted to anybody: add \
             [[principals]] to the configuration (--config), or --token-keys",
        ));
    }
    if security.second_factor_secrets.is_none() && !security.two_persons_above.is_empty() {
        return Err(Failure::usage(
            "two persons are told apart by their second factors, and nobody says who has one: add \
             --second-factor-secrets",
        ));
    }
    if security.login_passwords.is_some() {
        if security.second_factor_secrets.is_none() {
            return Err(Failure::usage(
                "a password alone lets nobody in: add --second-factor-secrets to --login-passwords",
            ));
        }
        if file.is_none_or(|file| file.rights.is_empty()) {
            return Err(Failure::usage(
                "people log in, and nothing is granted to anybody by name: add [[principals]] to the \
                 configuration (--config)",
            ));
        }
    }
    if security.second_factor_secrets.is_some() && !asks_who {
        return Err(Failure::usage(
            "second factors are asked for, and nobody is asked who they are: add [[principals]] to the \
             configuration (--config), or --token-keys",
        ));
    }
    if security.profile == Profile::Production {
        return check_production(args, tls.as_ref(), asks_who);
    }
    check_console(args, tls.is_some(), asks_who)?;
    if args.listen.ip().is_loopback() || args.insecure_listen {
        return Ok(());
    }
    let missing = match (tls.is_some(), asks_who) {
        (true, true) => return Ok(()),
        (false, false) => "neither encrypts nor asks who is there",
        (true, false) => "does not ask who is there",
        (false, true) => "does not encrypt",
    };
    Err(Failure::usage(format!(
        "{} can be reached from other machines, and this server {missing}: whoever reaches it can \
         move money. Listen on 127.0.0.1, add --tls-server-cert and [[principals]] or --token-keys, \
         or --insecure-listen where the network itself is trusted",
        args.listen
    )))
}

/// The operators' page beyond loopback asks for what the calls ask for.
fn check_console(args: &super::ServeArgs, encrypts: bool, asks_who: bool) -> Result<(), Failure> {
    let Some(at) = args.console_listen else { return Ok(()) };
    if at.ip().is_loopback() || args.insecure_listen || (encrypts && asks_who) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{at} can be reached from other machines, and whoever reaches it can read the ledger: let the \
         console listen on 127.0.0.1, or add --tls-server-cert and [[principals]] or --token-keys"
    )))
}

fn check_production(
    args: &super::ServeArgs,
    tls: Option<&TlsFiles>,
    asks_who: bool,
) -> Result<(), Failure> {
    let mut wrong: Vec<String> = Vec::new();
    let mut add = |is_wrong: bool, text: &str| {
        if is_wrong {
            wrong.push(text.to_owned());
        }
    };
    add(
        args.development,
        "server.development (--development): it allows what is not for real money",
    );
    add(
        args.durability == super::DurabilityArg::None,
        "journal.durability (--durability none): nothing survives the process",
    );
    add(args.insecure_listen, "server.insecure_listen (--insecure-listen): no network is trusted");
    add(
        tls.is_none() && !args.listen.ip().is_loopback(),
        "server.listen (--listen): plain text beyond loopback; add tls.certificate_file and \
         tls.key_file",
    );
    add(
        tls.is_none() && args.console_listen.is_some_and(|at| !at.ip().is_loopback()),
        "console.listen (--console-listen): plain text beyond loopback; add tls.certificate_file and \
         tls.key_file",
    );
    add(
        tls.is_some_and(|tls| tls.clients != Clients::Required),
        "tls.clients (--tls-clients): client certificates are required",
    );
    add(
        !args.audit.is_on(Profile::Production),
        "audit.trail (--audit off): nobody could tell who did what",
    );
    add(
        args.encryption.falls_short(Profile::Production),
        "encryption.mode (--encryption auto): nothing encrypts what lies on the disk; add \
         encryption.master_key_file, or say `disk` where the disk itself does",
    );
    add(!asks_who, "principals, tokens.keys_file (--token-keys): nobody is asked who they are");
    let hash_key = args.audit.audit_hash_key.as_deref();
    let of_alerts = args.alerts.alerts_secret.as_deref();
    let of_traces = args.traces.traces_headers.as_deref();
    let tls_key = args.security.tls_server_key.as_deref();
    let factors = args.security.second_factor_secrets.as_deref();
    let master = args.encryption.master_key_file.as_deref();
    let passwords = args.security.login_passwords.as_deref();
    let login_key = args.security.login_key.as_deref();
    let signing = args.sign.key_file();
    let of_login = [factors, passwords, login_key];
    let fields = args.secret_fields.secret_fields_key_file.as_deref();
    let keys = [tls_key, signing, hash_key, of_alerts, of_traces, master, fields];
    let keys = keys.into_iter().chain(of_login);
    for key in keys.flatten().filter(|key| others_can_read(key)) {
        add(true, &format!("{}: others than its owner can read this key", key.display()));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let count = wrong.len();
    let list: String = wrong.iter().map(|text| format!("\n  {text}")).collect();
    Err(Failure::usage(format!("the profile production refuses {count} settings:{list}")))
}

/// What production allows and does not recommend: a sentence for the log and for `config check`.
pub fn advice(args: &super::ServeArgs) -> Option<&'static str> {
    let security = &args.security;
    let lacks = security.profile == Profile::Production && security.second_factor_secrets.is_none();
    lacks.then_some(
        "operators have no second factor: whoever has a token or a certificate of one can freeze accounts \
         and set limits; see second_factor.secrets_file",
    )
}

fn others_can_read(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| ducat_persistence::witness::is_open(&found))
}
