//! Profiles, changes and filters on their way in; details and histories on their way out.

use super::*;
use ducat_actors::handle::AccountShown;
use ducat_engine::account_event::Change;
use ducat_engine::ids::{AccountId, Lsn};
use ducat_engine::limits::{Bounds, Limits};
use ducat_engine::profile::StatusNote;
use ducat_engine::transfer::{AccountSpec, AccountStatus, AccountView};
use std::sync::Arc;

fn text(text: &str) -> String {
    text.to_owned()
}

fn spec(currencies: &Currencies) -> AccountSpec {
    let currency = currencies.by_code("GBP").expect("ISO").id;
    let id = AccountId::new(1 << 64 | 5).expect("not zero");
    AccountSpec { id, currency, overdraft_limit: 5_000, external: false }
}

#[test]
fn what_is_wrong_with_a_change_is_named() {
    type Spoil = fn(&mut proto::UpdateAccountRequest);
    let cases: [(Spoil, &str, &str); 7] = [
        (|r| r.kind = Some(9), "kind", "KIND_UNKNOWN"),
        (|r| r.owner = Some("x".repeat(129)), "owner", "OWNER_MALFORMED"),
        (|r| r.label = Some("\u{1}".into()), "label", "LABEL_MALFORMED"),
        (
            |r| drop(r.set_metadata.insert("=".into(), String::new())),
            "set_metadata",
            "METADATA_KEY_MALFORMED",
        ),
        (
            |r| drop(r.set_metadata.insert("a".into(), "x".repeat(4_096))),
            "set_metadata",
            "METADATA_TOO_LARGE",
        ),
        (
            |r| r.remove_metadata = vec!["a".into(), String::new()],
            "remove_metadata[1]",
            "METADATA_KEY_MALFORMED",
        ),
        (
            |r| {
                r.remove_metadata = vec!["a".into()];
                r.set_metadata.insert("a".into(), "1".into());
            },
            "remove_metadata",
            "METADATA_SET_AND_REMOVED",
        ),
    ];
    for (spoil, field, reason) in cases {
        let mut request = proto::UpdateAccountRequest { id: 1, ..Default::default() };
        spoil(&mut request);
        let violations = change(request).expect_err(reason);
        assert_eq!(violations.total(), 1, "{reason}");
        assert_eq!(violations.listed()[0].field, field);
        assert_eq!(violations.listed()[0].reason, reason);
    }
    let taken = proto::UpdateAccountRequest {
        kind: Some(0),
        owner: Some(String::new()),
        ..Default::default()
    };
    let expected =
        ProfileChange { kind: Some(None), owner: Some(String::new()), ..ProfileChange::default() };
    assert_eq!(change(taken), Ok(expected));
    assert_eq!(change(proto::UpdateAccountRequest::default()), Ok(ProfileChange::default()));
    assert_eq!(reason("x".repeat(513)).expect_err("too long").reason(), "REASON_MALFORMED");
    assert_eq!(reason(text("why")), Ok(text("why")));
}

#[test]
fn filters_are_read_or_refused() {
    let currencies = Currencies::new();
    assert_eq!(filter(None, &currencies), Ok(Filter::default()));
    let none = proto::AccountFilter::default();
    assert_eq!(filter(Some(none.clone()), &currencies), Ok(Filter::default()));
    let all = proto::AccountFilter {
        owner: Some(text("anna")),
        kind: Some(0),
        currency: text("GBP"),
        status: Some(3),
        external: Some(false),
        label_prefix: text("sav"),
        metadata: [(text("a"), text("1"))].into(),
    };
    let read = filter(Some(all), &currencies).expect("well-formed");
    assert_eq!(read.kind, Some(None));
    assert_eq!(read.status, Some(AccountStatus::DebitsBlocked));
    assert_eq!(read.currency, currencies.by_code("GBP").ok().map(|gbp| gbp.id));
    assert_eq!((read.external, read.label_prefix.as_str()), (Some(false), "sav"));
    for (wrong, reason) in [
        (proto::AccountFilter { kind: Some(6), ..none.clone() }, "KIND_UNKNOWN"),
        (proto::AccountFilter { status: Some(5), ..none.clone() }, "STATUS_UNKNOWN"),
        (proto::AccountFilter { currency: text("ZZZ"), ..none.clone() }, "CURRENCY_UNKNOWN"),
        (proto::AccountFilter { owner: Some("x".repeat(129)), ..none }, "OWNER_MALFORMED"),
    ] {
        assert_eq!(filter(Some(wrong), &currencies).expect_err(reason).reason(), reason);
    }
}

#[test]
fn what_is_known_is_shown_with_the_account() {
    let currencies = Currencies::new();
    let view = AccountView {
        spec: spec(&currencies),
        status: AccountStatus::CreditsBlocked,
        posted: 0,
        on_hold: 0,
        held: 0,
        incoming: 0,
        available: 5_000,
        bounds: Bounds { floor: Some(-4_000), ceiling: None },
        opened_lsn: Lsn(3),
        last_lsn: Lsn::ZERO,
        version: Lsn(9),
    };
    let details = Details {
        profile: Profile {
            kind: Some(AccountKind::Expense),
            owner: text("anna"),
            label: text("rent"),
            metadata: [(text("a"), text("1"))].into(),
        },
        note: Some(StatusNote { lsn: Lsn(8), reason: text("asked for") }),
        last_lsn: Lsn(9),
        opening: None,
        watches: Vec::new(),
    };
    let mut writer = Writer::new(&currencies);
    let shown = writer.shown(&AccountShown { view, details: Some(Arc::new(details)) });
    assert_eq!(shown.status(), proto::AccountStatus::CreditsBlocked);
    assert_eq!(
        (shown.kind(), shown.normal_side()),
        (proto::AccountKind::Expense, proto::NormalSide::Debit)
    );
    assert_eq!((shown.owner.as_str(), shown.label.as_str()), ("anna", "rent"));
    assert_eq!(shown.metadata["a"], "1");
    assert_eq!((shown.status_lsn, shown.status_reason.as_str()), (8, "asked for"));
    assert_eq!((shown.changed_lsn, shown.opened_lsn), (9, 3));
    assert_eq!((shown.floor.as_str(), shown.ceiling.as_str()), ("-40.00", ""));
    let plain = writer.shown(&AccountShown { view, details: None });
    assert_eq!(plain, writer.account(&view));
}

#[test]
fn histories_say_what_happened() {
    use proto::account_event::Event;
    let currencies = Currencies::new();
    let entry = |lsn, event| HistoryEntry { lsn: Lsn(lsn), time_ns: lsn * 10, event };
    let bounds = Bounds { floor: None, ceiling: Some(7) };
    let profile = Profile { kind: Some(AccountKind::Equity), ..Profile::default() };
    let opening = Opening { spec: spec(&currencies), bounds, profile };
    let limits = Change::Limits(Limits { overdraft_limit: 0, bounds });
    let change =
        ProfileChange { kind: Some(None), remove: [text("a")].into(), ..ProfileChange::default() };
    let status = Change::Status { status: AccountStatus::Closed, reason: text("why") };
    let page = HistoryPage {
        entries: vec![
            entry(9, HistoryEvent::Changed(Change::Profile(change))),
            entry(8, HistoryEvent::Changed(status)),
            entry(7, HistoryEvent::Changed(limits)),
            entry(3, HistoryEvent::Opened(opening)),
        ],
        next: None,
        currency: spec(&currencies).currency,
    };
    let answer = Writer::new(&currencies).history(spec(&currencies).id, page, text("more"));
    assert_eq!(answer.next_cursor, "more");
    let [profile, status, limits, opened] = &answer.events[..] else { panic!("{answer:?}") };
    assert_eq!((profile.lsn, profile.time_ns), (9, 90));
    let Some(Event::Profile(profile)) = &profile.event else { panic!("{profile:?}") };
    assert_eq!((profile.kind, &profile.owner), (Some(0), &None));
    assert_eq!(profile.removed_metadata, ["a"]);
    let Some(Event::Status(status)) = &status.event else { panic!("{status:?}") };
    assert_eq!((status.status, status.reason.as_str()), (2, "why"));
    let Some(Event::Limits(limits)) = &limits.event else { panic!("{limits:?}") };
    assert_eq!((limits.overdraft_limit.as_str(), limits.ceiling.as_str()), ("0.00", "0.07"));
    let Some(Event::Opened(opened)) = &opened.event else { panic!("{opened:?}") };
    assert_eq!((opened.currency.as_str(), opened.overdraft_limit.as_str()), ("GBP", "50.00"));
    assert_eq!((opened.kind, opened.id, opened.id_high), (3, 5, 1));
    assert_eq!((opened.floor.as_str(), opened.ceiling.as_str()), ("", "0.07"));
}
