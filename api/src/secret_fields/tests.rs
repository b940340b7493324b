//! Secret fields without a server: what is sealed, shown, refused, and told from what came before.

use super::*;
use ducat_engine::money::CurrencyId;
use ducat_engine::transfer::AccountSpec;

const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const TWO: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh4=";
const CARD: &str = "4929123456789015";

fn keys(text: &str) -> FieldKeys {
    FieldKeys::parse(text, "x").expect("keys")
}

fn fields(text: &str) -> Arc<SecretFields> {
    let fields = ["card=card", "mail=email", "passport"].map(|field| field.parse().expect("one"));
    SecretFields::new(&fields, keys(text)).expect("each is named once")
}

fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn id(id: u128) -> AccountId {
    AccountId::new(id).expect("not zero")
}

fn opening(account: u128, pairs: &[(&str, &str)]) -> Opening {
    let spec = AccountSpec {
        id: id(account),
        currency: CurrencyId(1),
        overdraft_limit: 0,
        external: false,
    };
    let mut opening = Opening::from(spec);
    opening.profile.metadata = metadata(pairs);
    opening
}

fn sealed(of: &SecretFields, opening: Opening) -> Opening {
    let mut all = [opening];
    of.seal_openings(&mut all, GivenBy::Caller, |_, _, _| {}).expect("fits");
    let [opening] = all;
    opening
}

fn reasons(result: Result<(), Violations>) -> Vec<&'static str> {
    result.map_or_else(|all| all.listed().iter().map(|one| one.reason).collect(), |()| vec![])
}

#[test]
fn secret_values_are_sealed_and_shown_masked_and_others_are_left() {
    let secrets = fields(ONE);
    let pairs =
        [("branch", "7"), ("card", CARD), ("mail", "jane@example.com"), ("passport", "X1234567")];
    let kept = sealed(&secrets, opening(7, &pairs)).profile.metadata;
    assert_eq!(kept["branch"], "7");
    for (key, value) in &pairs[1..] {
        assert!(is_sealed(&kept[*key]) && !kept[*key].contains(value), "{key}");
    }
    let mut shown = kept.clone();
    secrets.show(id(7), &mut shown);
    let expected = [
        ("branch", "7"),
        ("card", "492912******9015"),
        ("mail", "j***************"),
        ("passport", HIDDEN),
    ];
    assert_eq!(shown, metadata(&expected));
    assert_eq!(&**secrets.reveal(id(7), "card", &kept).expect("opens"), CARD);
    // Of another account nothing is shown and nothing revealed.
    let mut moved = kept.clone();
    secrets.show(id(8), &mut moved);
    assert_eq!(moved["card"], HIDDEN);
    let error = secrets.reveal(id(8), "card", &kept).expect_err("moved");
    assert_eq!(error.reason, "SECRET_FIELD_CHANGED");
    for key in ["branch", "nothing", CARD] {
        let error = secrets.reveal(id(7), key, &kept).expect_err("not secret");
        assert_eq!(error.reason, "SECRET_FIELD_UNKNOWN");
        assert!(!error.message.contains(CARD), "{error:?}");
    }
}

#[test]
fn what_is_not_of_its_kind_is_hidden_altogether() {
    for (mask, value, shown) in [
        (Mask::Card, "4929 1234 5678 9015", "492912******9015"),
        (Mask::Card, "4929123456789016", HIDDEN),
        (Mask::Card, "my card is 4929123456789015", HIDDEN),
        (Mask::Card, "12", HIDDEN),
        (Mask::Card, "", HIDDEN),
        (Mask::Email, "jane@example.com, pin 1234", HIDDEN),
        (Mask::Id, "078-05-1120", "*******1120"),
        (Mask::Iban, "GB82WEST12345698765432", "GB82**************5432"),
        (Mask::Phone, "+44 20 7946 0958", "**************58"),
        (Mask::Nothing, "nothing", HIDDEN),
        (Mask::Nothing, CARD, HIDDEN),
    ] {
        assert_eq!(mask.show(value), shown, "{mask:?} {value}");
    }
}

#[test]
fn fields_are_read_as_they_are_written() {
    for text in ["card=card", "passport=nothing", "a/b.c=iban"] {
        let field: SecretField = text.parse().expect(text);
        assert_eq!(field.to_string(), text);
    }
    assert_eq!(
        "passport".parse(),
        Ok(SecretField { name: "passport".into(), mask: Mask::Nothing })
    );
    for text in ["", "=card", "a b", "card=", "card=visa", "card=card=card", "ä"] {
        assert!(text.parse::<SecretField>().is_err(), "{text}");
    }
    let twice = ["card", "card=card"].map(|field| field.parse().expect("one"));
    let error = SecretFields::new(&twice, keys(ONE)).expect_err("twice");
    assert!(error.contains("card"), "{error}");
}

#[test]
fn a_caller_gives_no_sealed_values_and_a_proposal_only_its_own() {
    let secrets = fields(ONE);
    let ours = sealed(&secrets, opening(7, &[("card", CARD)]));
    let value = ours.profile.metadata["card"].clone();
    for key in ["card", "branch"] {
        let asked = opening(7, &[(key, &value)]);
        let refused = secrets.seal_openings(&mut [asked], GivenBy::Caller, |_, _, _| {});
        assert_eq!(reasons(refused), ["METADATA_LOOKS_SEALED"], "{key}");
        let set = metadata(&[(key, &value)]);
        let mut change = ProfileChange { set, ..ProfileChange::default() };
        let refused = secrets.seal_change(id(7), &mut change, Some(&ours.profile));
        assert_eq!(reasons(refused), ["METADATA_LOOKS_SEALED"], "{key}");
    }
    let mut again = [ours.clone()];
    secrets.seal_openings(&mut again, GivenBy::Proposal, |_, _, _| {}).expect("its own");
    assert_eq!(again, [ours]);
    for (account, key) in [(8, "card"), (7, "mail"), (7, "branch")] {
        let moved = opening(account, &[(key, &value)]);
        let refused = secrets.seal_openings(&mut [moved], GivenBy::Proposal, |_, _, _| {});
        assert_eq!(reasons(refused), ["METADATA_LOOKS_SEALED"], "{account} {key}");
    }
}

#[test]
fn bounds_hold_for_what_is_kept() {
    let secrets = fields(ONE);
    let most = (METADATA_BYTES_MAX - "card".len() - sealed_bytes(0)) / 4 * 3;
    let fits = opening(7, &[("card", &"x".repeat(most))]);
    let kept = sealed(&secrets, fits);
    assert!(kept.profile.check().is_ok());
    let over = opening(7, &[("card", &"x".repeat(most + 4))]);
    let refused = secrets.seal_openings(&mut [over], GivenBy::Caller, |_, _, _| {});
    assert_eq!(reasons(refused), ["METADATA_TOO_LARGE"]);
    let set = metadata(&[("card", &"x".repeat(most + 4))]);
    let mut change = ProfileChange { set, ..ProfileChange::default() };
    assert_eq!(reasons(secrets.seal_change(id(7), &mut change, None)), ["METADATA_TOO_LARGE"]);
}

#[test]
fn what_is_set_to_what_it_is_stays_as_it_is_sealed() {
    let old = fields(ONE);
    let stored = sealed(&old, opening(7, &[("card", CARD)])).profile;
    let rotated = fields(&format!("{ONE}\n{TWO}"));
    let seal = |value: &str| {
        let mut change = ProfileChange { set: metadata(&[("card", value)]), ..Default::default() };
        rotated.seal_change(id(7), &mut change, Some(&stored)).expect("fits");
        change.set["card"].clone()
    };
    assert_eq!(seal(CARD), stored.metadata["card"], "under the older key");
    assert!(seal("4111111111111111").contains(&rotated.current()), "under the newest");
}

#[test]
fn an_opening_is_found_in_the_form_in_which_it_was_done() {
    let asked = || opening(7, &[("card", CARD), ("branch", "7")]);
    let (old, rotated) = (fields(ONE), fields(&format!("{ONE}\n{TWO}")));
    let (before, now) = (sealed(&old, asked()), sealed(&rotated, asked()));
    assert_ne!(before, now);
    assert_eq!(rotated.older_forms(), [Form::Under(old.current()), Form::Plain]);
    assert_eq!(rotated.in_form(&now, &Form::Under(old.current())), Some(before));
    let mut plain = rotated.in_form(&now, &Form::Plain).expect("opens");
    assert_eq!(plain, asked());
    rotated.forget(&mut plain);
    assert_eq!(plain.profile.metadata, metadata(&[("card", ""), ("branch", "7")]));
    let nothing_secret = sealed(&rotated, opening(7, &[("branch", "7")]));
    assert_eq!(rotated.in_form(&nothing_secret, &Form::Plain), None);
}

#[test]
fn keys_may_be_added_and_none_may_go() {
    let secrets = fields(ONE);
    assert_eq!(secrets.lost_with(&keys(TWO)), Some(secrets.current()));
    let both = keys(&format!("{ONE}\n{TWO}"));
    assert_eq!(secrets.lost_with(&both), None);
    let kept = sealed(&secrets, opening(7, &[("card", CARD)])).profile.metadata;
    secrets.replace(both);
    assert_ne!(
        kept["card"],
        sealed(&secrets, opening(7, &[("card", CARD)])).profile.metadata["card"]
    );
    assert_eq!(&**secrets.reveal(id(7), "card", &kept).expect("opens"), CARD);
    // A server that has another key alone.
    let other = fields(TWO);
    let mut shown = kept.clone();
    other.show(id(7), &mut shown);
    assert_eq!(shown["card"], HIDDEN);
    let error = other.reveal(id(7), "card", &kept).expect_err("another key");
    assert_eq!(error.reason, "SECRET_KEY_MISSING");
}

/// A value that was kept before its field was secret, and one whose field is not any more.
#[test]
fn what_was_kept_before_or_is_sealed_still_is_masked_all_the_same() {
    let secrets = fields(ONE);
    let kept = metadata(&[("card", CARD)]);
    let mut shown = kept.clone();
    secrets.show(id(7), &mut shown);
    assert_eq!(shown["card"], "492912******9015");
    assert_eq!(&**secrets.reveal(id(7), "card", &kept).expect("as it is"), CARD);
    let sealed = sealed(&secrets, opening(7, &[("card", CARD)])).profile.metadata;
    let none = SecretFields::new(&[], keys(ONE)).expect("none");
    let mut shown = sealed.clone();
    none.show(id(7), &mut shown);
    assert_eq!(shown["card"], HIDDEN);
    assert_eq!(&**none.reveal(id(7), "card", &sealed).expect("opens"), CARD);
}

#[test]
fn no_account_is_found_by_what_is_secret() {
    let secrets = fields(ONE);
    assert!(secrets.check_filter(&metadata(&[("branch", "7")])).is_ok());
    let refused = secrets.check_filter(&metadata(&[("branch", "7"), ("card", CARD)]));
    let refused = refused.expect_err("secret");
    assert_eq!(refused.reason(), "METADATA_SECRET");
    assert!(!refused.message().contains(CARD));
}

#[test]
fn keys_are_not_shown() {
    let text = format!("{:?}", fields(ONE));
    assert!(text.contains("card") && !text.contains("0102") && !text.contains("1, 2"), "{text}");
}
