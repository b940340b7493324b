//! What `ducat import` reads: a mapping file and, after a zero byte, rows of a CSV file.

use csv::ByteRecord;
use ducat_api::import::common::Common;
use ducat_api::import::mapping;
use ducat_api::import::plan::{AccountPlan, TransferPlan};
use ducat_api::import::source::Rows;
use ducat_engine::money::AMOUNT_MAX;
use std::io::Write as _;
use std::sync::Arc;

/// Rows of one input: enough to meet every rule.
const ROWS_MAX: usize = 50;

/// A mapping with rows. Every row becomes what the ledger can be asked, or is refused with its
/// reason; reading it again gives the same.
pub(crate) fn mapping(bytes: &[u8]) {
    let (text, rows) = match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    // As `--set` does.
    drop(mapping::setting(text));
    let Ok(mapping) = mapping::read("fuzz.toml", text, &[]) else { return };
    let Ok(common) = Common::of(&mapping) else { return };
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(rows).expect("a temporary file takes it");
    let Ok(mut rows) = Rows::open(file.path(), &mapping.source, Arc::default()) else { return };
    let header = rows.header().map(<[String]>::to_vec);
    let accounts = AccountPlan::of(&mapping, &common, header.as_deref());
    let transfers = TransferPlan::of(&mapping, &common, header.as_deref());
    let mut record = ByteRecord::new();
    for _ in 0..ROWS_MAX {
        let Ok(Some(number)) = rows.next(&mut record) else { break };
        if let Ok(plan) = &accounts
            && let Ok(row) = plan.read(&common, &record)
        {
            assert!(row.opening.is_none_or(
                |opening| opening.credit_account != 0 || opening.credit_account_high != 0
            ));
        }
        if let Ok(plan) = &transfers
            && let Ok(row) = plan.line(&common, number, &record)
        {
            assert_eq!(plan.line(&common, number, &record), Ok(row.clone()));
            assert_eq!(plan.group(&common, &record), plan.group(&common, &record));
            assert!(u128::from(row.request.amount_minor) <= AMOUNT_MAX);
        }
    }
}
