//! A mapping tied to the columns of a real file: from here on a row becomes an account or a
//! transfer by index, without looking at the mapping again. Pure: no file, no network.

use super::Failure;
use super::Kind;
use super::common::{Common, CurrencyPlan, Unconvertible, index_of};
use super::ids::{self, Purpose};
use super::mapping::{self, IdRule, Mapping, Negative, OneOrMany, Text};
use super::notes::NotePlan;
use super::operations::OperationPlan;
use crate::proto::{self, Operation};
use csv::ByteRecord;
use ducat_engine::ids::{AccountId, IdError, TransferId};
use ducat_engine::money::{AMOUNT_MAX, Currency, format_minor};

/// Which account a row means.
#[derive(Debug, Clone)]
enum IdPlan {
    /// The value of a column, plus an offset.
    Taken { index: usize, offset: u64 },
    /// The value of a column, hashed in a namespace.
    Hashed { index: usize, namespace: String },
    /// The same account for every row.
    External(AccountId),
}

/// An account as a row names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its id in the ledger.
    pub id: AccountId,
    /// What the source calls it; `None` for an external account.
    pub label: Option<String>,
}

impl IdPlan {
    fn of(
        rule: &IdRule,
        what: &str,
        common: &Common,
        header: Option<&[String]>,
    ) -> Result<Self, Failure> {
        let clash = |text: &str| Failure::usage(format!("{what} in the mapping {text}"));
        match (&rule.column, &rule.external) {
            (None, Some(name)) => Ok(Self::External(common.external(name)?.id)),
            (Some(column), None) => {
                let index = index_of(column, header)?;
                match (&rule.namespace, rule.offset) {
                    (None, offset) => Ok(Self::Taken { index, offset }),
                    (Some(namespace), 0) => {
                        Ok(Self::Hashed { index, namespace: namespace.clone() })
                    }
                    _ => Err(clash("has both `namespace` and `offset`; one of them must go")),
                }
            }
            _ => Err(clash("needs either `column` or `external`")),
        }
    }

    fn read(&self, common: &Common, record: &ByteRecord) -> Result<Named, Unconvertible> {
        match self {
            Self::External(id) => Ok(Named { id: *id, label: None }),
            Self::Taken { index, offset } => {
                let text = common.field(record, *index)?;
                let id = ids::read_account(&text, *offset).map_err(|e| {
                    let text = format!("column {}: {e}", index + 1);
                    Unconvertible::new("ID_MALFORMED", text)
                })?;
                let number = id.get() - u128::from(*offset);
                let plain = text.bytes().all(|b| b.is_ascii_digit());
                let label = if plain { number.to_string() } else { id.to_string() };
                Ok(Named { id, label: Some(label) })
            }
            Self::Hashed { index, namespace } => {
                let text = common.field(record, *index)?;
                if text.is_empty() {
                    let text = format!("column {} is empty", index + 1);
                    return Err(Unconvertible::new("ID_MALFORMED", text));
                }
                let id = ids::account(Purpose::Account, namespace, &text);
                let id = id.map_err(|e| Unconvertible::new("ID_MALFORMED", e.to_string()))?;
                Ok(Named { id, label: Some(format!("{namespace}:{text}")) })
            }
        }
    }
}

/// An account to open, with what it holds at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Which account.
    pub named: Named,
    /// Its currency.
    pub currency: Currency,
    /// How far below zero it may go, as a decimal text; empty for not at all.
    pub overdraft_limit: String,
    /// The movement that brings its opening balance, where there is one.
    pub opening: Option<proto::TransferRequest>,
}

/// How a file of accounts is read.
pub struct AccountPlan {
    id: IdPlan,
    currency: CurrencyPlan,
    overdraft: Overdraft,
    opening: Option<(usize, AccountId)>,
}

/// Where an overdraft limit comes from.
enum Overdraft {
    Fixed(String),
    Column(usize),
}

impl AccountPlan {
    /// Ties `[accounts]` to a file's columns.
    pub fn of(
        mapping: &Mapping,
        common: &Common,
        header: Option<&[String]>,
    ) -> Result<Self, Failure> {
        let accounts = mapping.accounts.as_ref().ok_or_else(|| {
            Failure::usage("a file of accounts was given, but the mapping has no [accounts]")
        })?;
        let id = accounts.id.as_ref().ok_or_else(|| {
            Failure::usage("a file of accounts was given, but [accounts] has no `id`")
        })?;
        let opening = match (&accounts.opening_balance, &accounts.opening_external) {
            (None, _) => None,
            (Some(column), Some(name)) => {
                Some((index_of(&column.column, header)?, common.external(name)?.id))
            }
            (Some(_), None) => {
                return Err(Failure::usage(
                    "[accounts] has an `opening_balance` and needs the `opening_external` that \
                     it comes from",
                ));
            }
        };
        let overdraft = match &accounts.overdraft_limit {
            Some(Text::Column(column)) => Overdraft::Column(index_of(column, header)?),
            _ => Overdraft::Fixed(fixed_overdraft(accounts)?),
        };
        Ok(Self {
            id: IdPlan::of(id, "`accounts.id`", common, header)?,
            currency: common.currency_plan(accounts.currency.as_ref(), header)?,
            overdraft,
            opening,
        })
    }

    /// Reads one row.
    pub fn read(&self, common: &Common, record: &ByteRecord) -> Result<AccountRow, Unconvertible> {
        let named = self.id.read(common, record)?;
        let currency = common.currency(&self.currency, record)?.into_owned();
        let overdraft_limit = match &self.overdraft {
            Overdraft::Fixed(text) => text.clone(),
            Overdraft::Column(index) => {
                let limit = common.amount(record, *index, &currency)?;
                format_minor(limit, currency.digits)
            }
        };
        let opening = match self.opening {
            None => None,
            Some((index, external)) => {
                let amount = common.amount(record, index, &currency)?;
                opening(&common.namespace, named.id, external, amount, &currency)?
            }
        };
        Ok(AccountRow { named, currency, overdraft_limit, opening })
    }
}

/// The constant overdraft limit of `[accounts]`, for accounts that have no row of their own.
pub fn fixed_overdraft(accounts: &mapping::Accounts) -> Result<String, Failure> {
    match &accounts.overdraft_limit {
        None => Ok(String::new()),
        Some(Text::Constant(text)) => Ok(text.clone()),
        Some(Text::Column(_)) => Err(Failure::usage(
            "accounts opened from the transfers need an `overdraft_limit` that is a constant",
        )),
    }
}

/// The movement that brings an opening balance: a deposit, or a withdrawal where it is negative.
fn opening(
    namespace: &str,
    account: AccountId,
    external: AccountId,
    amount: i128,
    currency: &Currency,
) -> Result<Option<proto::TransferRequest>, Unconvertible> {
    if amount == 0 {
        return Ok(None);
    }
    let id = ids::transfer(Purpose::Opening, namespace, &account.to_string());
    let id = id.map_err(|e| Unconvertible::new("ID_MALFORMED", e.to_string()))?;
    let movement = Movement { kind: Kind::Deposit, debit: external, credit: account };
    let movement = if amount < 0 { movement.reversed() } else { movement };
    movement.request(id, amount.unsigned_abs(), currency).map(Some)
}

/// Who pays whom, and what for.
#[derive(Debug, Clone, Copy)]
struct Movement {
    kind: Kind,
    debit: AccountId,
    credit: AccountId,
}

impl Movement {
    fn reversed(self) -> Self {
        Self { kind: self.kind.reversed(), debit: self.credit, credit: self.debit }
    }

    /// The request on the wire. The currency goes along, so that the ledger checks it.
    fn request(
        self,
        id: TransferId,
        amount: u128,
        currency: &Currency,
    ) -> Result<proto::TransferRequest, Unconvertible> {
        if amount > AMOUNT_MAX {
            return Err(Unconvertible::new("AMOUNT_TOO_LARGE", "larger than any amount can be"));
        }
        let mut request = proto::TransferRequest {
            id: id.low(),
            id_high: id.high(),
            debit_account: self.debit.low(),
            debit_account_high: self.debit.high(),
            credit_account: self.credit.low(),
            credit_account_high: self.credit.high(),
            currency: currency.code.clone(),
            kind: self.kind.wire(),
            ..Default::default()
        };
        match (u64::try_from(amount), i128::try_from(amount)) {
            // A zero in `amount_minor` reads as unset; as a text the ledger judges it.
            (Ok(minor), _) if minor > 0 => request.amount_minor = minor,
            (_, Ok(wide)) => request.amount = format_minor(wide, currency.digits),
            _ => return Err(Unconvertible::new("AMOUNT_TOO_LARGE", "above 128 bits")),
        }
        Ok(request)
    }
}

/// A row that became a request, whatever it asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What is sent.
    pub request: proto::TransferRequest,
    /// The accounts that it names, the one that pays first; none of what is asked of a hold or an
    /// original.
    pub accounts: Option<[Named; 2]>,
    /// The currency.
    pub currency: Currency,
}

/// A row that became a transfer.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferRow {
    /// What is sent.
    pub request: proto::TransferRequest,
    /// The account that pays.
    pub debit: Named,
    /// The account that receives.
    pub credit: Named,
    /// The currency.
    pub currency: Currency,
}

/// How a file of transfers is read.
pub struct TransferPlan {
    id: TransferIdPlan,
    amount: usize,
    negative: Negative,
    currency: CurrencyPlan,
    rules: Vec<RulePlan>,
    default: Option<Sides>,
    note: NotePlan,
    operations: OperationPlan,
}

/// Where a transfer's id comes from.
pub(super) enum TransferIdPlan {
    Row,
    Taken(usize),
    Hashed(usize, String),
}

impl TransferIdPlan {
    /// The id in a column.
    pub fn of_column(
        rule: &mapping::TransferIdRule,
        header: Option<&[String]>,
    ) -> Result<Self, Failure> {
        let Some(column) = &rule.column else {
            return Err(Failure::usage(
                "`transfers.hold` and `transfers.original` in the mapping need a `column`",
            ));
        };
        let index = index_of(column, header)?;
        Ok(match &rule.namespace {
            None => Self::Taken(index),
            Some(namespace) => Self::Hashed(index, namespace.clone()),
        })
    }

    /// The id in a row's column; of one that has its id by its number, none.
    pub fn read(&self, common: &Common, record: &ByteRecord) -> Result<TransferId, Unconvertible> {
        let id = match self {
            Self::Row => Err(IdError::Zero),
            Self::Taken(index) => common.field(record, *index)?.parse(),
            Self::Hashed(index, namespace) => {
                let text = common.field(record, *index)?;
                ids::transfer(Purpose::Transfer, namespace, &text)
            }
        };
        id.map_err(|e| Unconvertible::new("TRANSFER_ID_MALFORMED", e.to_string()))
    }
}

/// A rule by the values of columns.
struct RulePlan {
    when: Vec<(usize, Vec<String>)>,
    sides: Sides,
}

/// Both accounts of a transfer, and what it is for.
#[derive(Clone)]
struct Sides {
    kind: Kind,
    debit: IdPlan,
    credit: IdPlan,
}

impl TransferPlan {
    /// Ties `[transfers]` to a file's columns.
    pub fn of(
        mapping: &Mapping,
        common: &Common,
        header: Option<&[String]>,
    ) -> Result<Self, Failure> {
        let transfers = mapping.transfers.as_ref().ok_or_else(|| {
            Failure::usage("a file of transfers was given, but the mapping has no [transfers]")
        })?;
        let id = match (&transfers.id.column, &transfers.id.namespace) {
            (None, None) => TransferIdPlan::Row,
            (Some(column), None) => TransferIdPlan::Taken(index_of(column, header)?),
            (Some(column), Some(namespace)) => {
                TransferIdPlan::Hashed(index_of(column, header)?, namespace.clone())
            }
            (None, Some(_)) => {
                return Err(Failure::usage(
                    "`transfers.id` has a `namespace` without a `column`; ids by row are derived \
                     from the mapping's own `namespace`",
                ));
            }
        };
        let sides = |kind, debit: Option<&IdRule>, credit: Option<&IdRule>| {
            let (Some(debit), Some(credit)) = (debit, credit) else { return Ok(None) };
            let debit = IdPlan::of(debit, "`debit`", common, header)?;
            let credit = IdPlan::of(credit, "`credit`", common, header)?;
            Ok::<_, Failure>(Some(Sides { kind, debit, credit }))
        };
        let default = sides(transfers.kind, transfers.debit.as_ref(), transfers.credit.as_ref())?;
        let mut rules = Vec::new();
        for (at, rule) in transfers.rules.iter().enumerate() {
            let of_rule = sides(
                rule.kind.unwrap_or(transfers.kind),
                rule.debit.as_ref().or(transfers.debit.as_ref()),
                rule.credit.as_ref().or(transfers.credit.as_ref()),
            )?;
            let of_rule = of_rule.ok_or_else(|| lacks_a_side(&format!("rule {}", at + 1)))?;
            rules.push(RulePlan { when: conditions(&rule.when, header)?, sides: of_rule });
        }
        if default.is_none() && rules.is_empty() {
            return Err(lacks_a_side("[transfers]"));
        }
        Ok(Self {
            id,
            amount: index_of(&transfers.amount.column, header)?,
            negative: transfers.amount.negative,
            currency: common.currency_plan(transfers.currency.as_ref(), header)?,
            rules,
            default,
            note: NotePlan::of(transfers, header)?,
            operations: OperationPlan::of(transfers, header)?,
        })
    }

    /// Reads the row with this number, whatever it asks for.
    pub fn line(
        &self,
        common: &Common,
        row: u64,
        record: &ByteRecord,
    ) -> Result<Line, Unconvertible> {
        let operation = self.operations.operation(common, record)?;
        if matches!(operation, Operation::Transfer | Operation::Hold) {
            let TransferRow { mut request, debit, credit, currency } =
                self.movement(common, row, record)?;
            if !self.operations.is_plain() {
                let plan = &self.operations;
                plan.complete(&mut request, operation, &currency, common, record)?;
            }
            return Ok(Line { request, accounts: Some([debit, credit]), currency });
        }
        let currency = common.currency(&self.currency, record)?.into_owned();
        let id = self.id(common, row, record)?;
        // The others can be noted; what the columns say about these is for people who read the file.
        let noted = !matches!(operation, Operation::Void | Operation::Extend);
        let mut request = proto::TransferRequest {
            id: id.low(),
            id_high: id.high(),
            note: if noted { self.note.read(common, record)? } else { None },
            ..Default::default()
        };
        let takes_all =
            operation == Operation::Capture && common.field(record, self.amount)?.is_empty();
        if matches!(operation, Operation::Capture | Operation::Refund) && !takes_all {
            let amount = common.amount(record, self.amount, &currency)?;
            request.amount = format_minor(amount, currency.digits);
            request.currency.clone_from(&currency.code);
        }
        self.operations.complete(&mut request, operation, &currency, common, record)?;
        Ok(Line { request, accounts: None, currency })
    }

    /// The linked group that a row names, whether or not it can be read otherwise.
    ///
    /// # Errors
    /// [`Unconvertible`] where that cannot be told.
    pub fn group(
        &self,
        common: &Common,
        record: &ByteRecord,
    ) -> Result<Option<String>, Unconvertible> {
        self.operations.group(common, record)
    }

    /// Reads the row with this number as a plain transfer.
    pub fn read(
        &self,
        common: &Common,
        row: u64,
        record: &ByteRecord,
    ) -> Result<TransferRow, Unconvertible> {
        let Line { request, accounts, currency, .. } = self.line(common, row, record)?;
        match accounts {
            Some([debit, credit]) if request.operation() == Operation::Transfer => {
                Ok(TransferRow { request, debit, credit, currency })
            }
            _ => Err(Unconvertible::new("NOT_A_TRANSFER", "the row asks for something else")),
        }
    }

    /// Reads accounts, amount and note of the row with this number.
    fn movement(
        &self,
        common: &Common,
        row: u64,
        record: &ByteRecord,
    ) -> Result<TransferRow, Unconvertible> {
        let sides = self.sides(common, record)?;
        let mut debit = sides.debit.read(common, record)?;
        let mut credit = sides.credit.read(common, record)?;
        let mut kind = sides.kind;
        let currency = common.currency(&self.currency, record)?.into_owned();
        let amount = common.amount(record, self.amount, &currency)?;
        if amount < 0 {
            if self.negative == Negative::Refuse {
                let text =
                    format!("the amount {} is negative", format_minor(amount, currency.digits));
                return Err(Unconvertible::new("AMOUNT_NEGATIVE", text));
            }
            std::mem::swap(&mut debit, &mut credit);
            kind = kind.reversed();
        }
        let id = self.id(common, row, record)?;
        let movement = Movement { kind, debit: debit.id, credit: credit.id };
        let mut request = movement.request(id, amount.unsigned_abs(), &currency)?;
        request.note = self.note.read(common, record)?;
        Ok(TransferRow { request, debit, credit, currency })
    }

    /// The first rule that fits, or the default.
    fn sides(&self, common: &Common, record: &ByteRecord) -> Result<&Sides, Unconvertible> {
        for rule in &self.rules {
            let mut fits = true;
            for (index, values) in &rule.when {
                let text = common.field(record, *index)?;
                fits &= values.iter().any(|v| *v == text);
            }
            if fits {
                return Ok(&rule.sides);
            }
        }
        self.default.as_ref().ok_or_else(|| {
            Unconvertible::new("NO_RULE_FITS", "none of the mapping's rules fits this row")
        })
    }

    fn id(
        &self,
        common: &Common,
        row: u64,
        record: &ByteRecord,
    ) -> Result<TransferId, Unconvertible> {
        if !matches!(self.id, TransferIdPlan::Row) {
            return self.id.read(common, record);
        }
        let id = ids::transfer(Purpose::Row, &common.namespace, &row.to_string());
        id.map_err(|e| Unconvertible::new("TRANSFER_ID_MALFORMED", e.to_string()))
    }
}

/// The places of a rule's columns with the values they must have.
fn conditions(
    when: &std::collections::BTreeMap<String, OneOrMany>,
    header: Option<&[String]>,
) -> Result<Vec<(usize, Vec<String>)>, Failure> {
    let condition = |(name, values): (&String, &OneOrMany)| {
        let column = mapping::ColumnRef::Name(name.clone());
        Ok((index_of(&column, header)?, values.0.clone()))
    };
    when.iter().map(condition).collect()
}

fn lacks_a_side(what: &str) -> Failure {
    Failure::usage(format!(
        "{what} in the mapping does not say which account pays and which receives: set `debit` \
         and `credit`"
    ))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
