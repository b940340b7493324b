//! Tokens that somebody else made: none of them is taken.

use super::*;
use crate::identity::keys::kid_of_pem;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SigningKey as _};
use serde_json::{Value, json};

/// What the server trusts, and what somebody with the trusted key could sign.
struct World {
    rules: TokenRules,
    rights: Rights,
    trusted: KeyPair,
    kid: String,
    stranger: KeyPair,
}

fn now_s() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

impl World {
    fn new() -> Self {
        let trusted = KeyPair::generate_for(&PKCS_ED25519).expect("random");
        let second = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("random");
        let pem = trusted.public_key_pem() + &second.public_key_pem();
        let rules = TokenRules {
            keys: TokenKeys::parse(&pem).expect("well-formed"),
            algorithms: vec![Algorithm::EdDSA, Algorithm::ES256],
            issuer: "https://bank.example".to_owned(),
            audience: "ducat".to_owned(),
            lifetime_max: Duration::from_secs(3600),
        };
        let named = "[[principals]]\nname = \"anna\"\nroles = [\"reader\"]\naccounts = [\"7\"]";
        let mut table: toml::Table = named.parse().expect("TOML");
        let rights = Rights::from_value(table.remove("principals").expect("there"));
        let rights = rights.expect("well-formed");
        let kid = kid_of_pem(&trusted.public_key_pem()).expect("PEM");
        let stranger = KeyPair::generate_for(&PKCS_ED25519).expect("random");
        Self { rules, rights, trusted, kid, stranger }
    }

    fn header(&self) -> Value {
        json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.kid })
    }

    fn claims() -> Value {
        let now = now_s();
        json!({
            "iss": "https://bank.example", "aud": "ducat", "sub": "bert", "iat": now, "nbf": now,
            "exp": now + 600, "roles": ["gateway"], "accounts": ["1..9"],
        })
    }

    fn check(&self, token: &str) -> Result<Checked, TokenRefused> {
        self.rules.check(token, &self.rights, now_s())
    }

    /// Signed by the trusted key, whatever it says.
    fn signed(&self, header: &Value, claims: &Value) -> String {
        raw(&self.trusted, &header.to_string(), &claims.to_string())
    }

    fn with_header(&self, key: &str, value: Value) -> String {
        let mut header = self.header();
        header[key] = value;
        self.signed(&header, &Self::claims())
    }

    fn with_claim(&self, key: &str, value: Value) -> String {
        let mut claims = Self::claims();
        claims[key] = value;
        self.signed(&self.header(), &claims)
    }

    fn without_claim(&self, key: &str) -> String {
        let mut claims = Self::claims();
        claims.as_object_mut().expect("an object").remove(key);
        self.signed(&self.header(), &claims)
    }
}

fn raw(key: &KeyPair, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(message.as_bytes()).expect("signs");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn what_the_issuer_signs_is_taken() {
    let world = World::new();
    let checked = world.check(&world.signed(&world.header(), &World::claims())).expect("taken");
    assert_eq!(checked.grant.name, "bert");
    assert_eq!(checked.grant.roles, [crate::identity::Role::Gateway]);
    assert!(!checked.grant.scope.is_all());
    let several = world.with_claim("aud", json!(["other", "ducat"]));
    assert!(world.check(&several).is_ok(), "an audience of several");
    let mut of_name = World::claims();
    for key in ["roles", "accounts"] {
        of_name.as_object_mut().expect("an object").remove(key);
    }
    of_name["sub"] = json!("anna");
    let checked = world.check(&world.signed(&world.header(), &of_name)).expect("a principal");
    assert_eq!(checked.grant, world.rights.find("anna").expect("named"));
    let claims = crate::identity::issue::Claims {
        roles: Some(vec!["auditor".to_owned()]),
        ..crate::identity::issue::Claims::new(
            "eve",
            "https://bank.example",
            "ducat",
            now_s(),
            Duration::from_secs(60),
        )
    };
    let issued = crate::identity::issue::issue(&world.trusted.serialize_pem(), &claims);
    let checked = world.check(&issued.expect("signs")).expect("what we issue, we take");
    assert_eq!(checked.grant.name, "eve");
}

/// As an attacker makes them who has no key, or another one.
fn forged(world: &World) -> Vec<(&'static str, String)> {
    let good = world.signed(&world.header(), &World::claims());
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let parts: Vec<&str> = good.split('.').collect();
    let claims = World::claims().to_string();
    let encoded = URL_SAFE_NO_PAD.encode(&claims);
    let unsigned = |alg: &str| {
        let header = json!({ "alg": alg, "typ": "JWT" }).to_string();
        format!("{}.{encoded}.", URL_SAFE_NO_PAD.encode(header))
    };
    let of_stranger = |header: &Value| raw(&world.stranger, &header.to_string(), &claims);
    let hmac = |kid: Option<String>| {
        let header = jsonwebtoken::Header { kid, ..jsonwebtoken::Header::new(Algorithm::HS256) };
        let secret = world.trusted.public_key_pem();
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&header, &World::claims(), &key).expect("signs")
    };
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    flipped[10] ^= 1;
    let richer = claims.replace("gateway", "admin");
    let x = URL_SAFE_NO_PAD.encode(world.stranger.public_key_raw());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    let mut with_jwk = world.header();
    with_jwk["jwk"] = jwk;
    let mut with_jku = world.header();
    with_jku["jku"] = json!("https://evil.example/keys");
    let zeros = URL_SAFE_NO_PAD.encode([0_u8; 64]);
    vec![
        ("nothing", String::new()),
        ("a dot", ".".to_owned()),
        ("two dots", "..".to_owned()),
        ("two parts", "a.b".to_owned()),
        ("nonsense in three parts", "a.b.c".to_owned()),
        ("text", "let me in".to_owned()),
        ("no signature", format!("{message}.")),
        ("no third part", message.to_owned()),
        ("a fourth part", format!("{good}.x")),
        ("a second token", format!("{good} {good}")),
        ("a signature of zeros", format!("{message}.{zeros}")),
        ("a signature cut short", format!("{message}.{}", &signature[..40])),
        (
            "a signature with a bit flipped",
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(flipped)),
        ),
        (
            "another's signature",
            format!(
                "{message}.{}",
                of_stranger(&world.header()).rsplit_once('.').expect("three").1
            ),
        ),
        (
            "a richer payload",
            format!("{}.{}.{signature}", parts[0], URL_SAFE_NO_PAD.encode(richer)),
        ),
        ("padding", format!("{}==.{}.{signature}", parts[0], parts[1])),
        ("more than fits", format!("{message}{}.{signature}", "A".repeat(TOKEN_BYTES_MAX))),
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg NONE", unsigned("NONE")),
        ("no alg", format!("{}.{encoded}.", URL_SAFE_NO_PAD.encode("{}"))),
        ("the public key as a secret", hmac(None)),
        ("the public key as a secret, by kid", hmac(Some(world.kid.clone()))),
        ("a stranger's key under a trusted kid", of_stranger(&world.header())),
        ("a stranger's key in the header", of_stranger(&with_jwk)),
        ("a stranger's place of keys", of_stranger(&with_jku)),
    ]
}

/// As they come from an issuer that is trusted and makes mistakes, or was tricked.
fn mistaken(world: &World) -> Vec<(&'static str, String, TokenRefused)> {
    use TokenRefused::{
        Algorithm, Audience, Claims, Expired, Header, Issuer, Key, Lifetime, Malformed, NotYet,
        Unknown,
    };
    let now = now_s();
    let header = world.header();
    let twice = |claims: &str| raw(&world.trusted, &header.to_string(), claims);
    let text = World::claims().to_string();
    let mut no_kid = header.clone();
    no_kid.as_object_mut().expect("an object").remove("kid");
    let mut nobody = World::claims();
    for key in ["roles", "accounts"] {
        nobody.as_object_mut().expect("an object").remove(key);
    }
    let double_alg = format!(r#"{{"alg":"EdDSA","alg":"none","kid":"{}"}}"#, world.kid);
    vec![
        ("another's algorithm", world.with_header("alg", json!("ES256")), Key),
        ("an algorithm not configured", world.with_header("alg", json!("RS256")), Algorithm),
        ("an unknown algorithm", world.with_header("alg", json!("XS256")), Algorithm),
        ("an algorithm in other letters", world.with_header("alg", json!("eddsa")), Algorithm),
        ("an algorithm that is no text", world.with_header("alg", json!(1)), Header),
        ("two algorithms", raw(&world.trusted, &double_alg, &text), Header),
        ("an unknown kid", world.with_header("kid", json!("../../keys")), Key),
        ("an empty kid", world.with_header("kid", json!("")), Key),
        ("no kid, with two keys", world.signed(&no_kid, &World::claims()), Key),
        ("a key in the header", world.with_header("jwk", json!({})), Header),
        ("a place of keys", world.with_header("jku", json!("https://bank.example")), Header),
        ("a place of certificates", world.with_header("x5u", json!("file:///")), Header),
        ("a certificate", world.with_header("x5c", json!(["AAAA"])), Header),
        ("something critical", world.with_header("crit", json!(["exp"])), Header),
        ("compressed", world.with_header("zip", json!("DEF")), Header),
        ("another type", world.with_header("typ", json!("JWE")), Header),
        ("a header that is a list", raw(&world.trusted, "[]", &text), Malformed),
        ("a header that is no JSON", raw(&world.trusted, "alg=EdDSA", &text), Malformed),
        (
            "a payload that is no JSON",
            raw(&world.trusted, &header.to_string(), "sub=admin"),
            Claims,
        ),
        ("a payload that is a list", raw(&world.trusted, &header.to_string(), "[]"), Claims),
        ("no exp", world.without_claim("exp"), Claims),
        ("expired", world.with_claim("exp", json!(now - 3600)), Expired),
        ("exp as a text", world.with_claim("exp", json!((now + 60).to_string())), Claims),
        ("exp below zero", world.with_claim("exp", json!(-1)), Claims),
        ("exp beyond all numbers", world.with_claim("exp", json!(1e300)), Claims),
        ("exp as null", world.with_claim("exp", Value::Null), Claims),
        ("not yet valid", world.with_claim("nbf", json!(now + 1800)), NotYet),
        ("valid for a year", world.with_claim("exp", json!(now + 31_536_000)), Lifetime),
        ("no issuer", world.without_claim("iss"), Claims),
        ("another issuer", world.with_claim("iss", json!("https://evil.example")), Issuer),
        (
            "an issuer that begins so",
            world.with_claim("iss", json!("https://bank.example.evil")),
            Issuer,
        ),
        ("several issuers", world.with_claim("iss", json!(["https://bank.example"])), Claims),
        ("no audience", world.without_claim("aud"), Claims),
        ("another audience", world.with_claim("aud", json!("other")), Audience),
        ("an audience of none", world.with_claim("aud", json!([])), Audience),
        ("no subject", world.without_claim("sub"), Claims),
        ("an empty subject", world.with_claim("sub", json!("")), Claims),
        ("a subject that is a number", world.with_claim("sub", json!(7)), Claims),
        ("a subject of several lines", world.with_claim("sub", json!("a\nb")), Claims),
        ("two subjects", twice(&text.replacen('{', r#"{"sub":"anna","#, 1)), Claims),
        ("an unknown role", world.with_claim("roles", json!(["root"])), Claims),
        ("a role in other letters", world.with_claim("roles", json!(["Admin"])), Claims),
        ("roles as a text", world.with_claim("roles", json!("admin")), Claims),
        ("accounts that are none", world.with_claim("accounts", json!(["1-9"])), Claims),
        ("accounts as numbers", world.with_claim("accounts", json!([7])), Claims),
        ("accounts without roles", world.without_claim("roles"), Claims),
        ("a subject to whom nothing is granted", world.signed(&header, &nobody), Unknown),
        ("bound to nothing known", world.with_claim("cnf", json!({ "jwk": {} })), Claims),
        ("bound to no hash", world.with_claim("cnf", json!({ "x5t#S256": "AAAA" })), Claims),
    ]
}

#[test]
fn no_hostile_token_is_taken() {
    let world = World::new();
    let forged = forged(&world);
    let mistaken = mistaken(&world);
    assert!(forged.len() + mistaken.len() >= 70, "{} and {}", forged.len(), mistaken.len());
    for (what, token) in &forged {
        assert!(world.check(token).is_err(), "{what}: {token}");
    }
    for (what, token, why) in &mistaken {
        assert_eq!(world.check(token).err(), Some(*why), "{what}: {token}");
    }
}

#[test]
fn a_key_that_is_gone_takes_its_tokens_along() {
    let mut world = World::new();
    let token = world.signed(&world.header(), &World::claims());
    assert!(world.check(&token).is_ok());
    world.rules.keys = TokenKeys::parse(&world.stranger.public_key_pem()).expect("well-formed");
    assert_eq!(world.check(&token).err(), Some(TokenRefused::Key));
}
