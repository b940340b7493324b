//! What the workload `terms` asks of a transfer's accounts, as the engine and the generated code
//! have it. [`crate::wire`] writes the same by hand.

use ducat_api::proto;
use ducat_engine::terms as engine;

/// The terms of an item; their figure is [`crate::generator::Item::argument`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ItemTerms {
    /// None: it is done or refused by its amount alone.
    #[default]
    None,
    /// It moves what the debit account can spend, up to its amount; nothing where there is nothing.
    Balanced,
    /// It is a source of the payment whose total is the figure; others follow.
    Source,
    /// The same, and the last.
    LastSource,
    /// The debit account can spend at least the figure afterwards.
    KeepsAtLeast,
    /// The credit account has at most the figure afterwards.
    HasAtMost,
}

impl ItemTerms {
    /// As the engine has it; `figure` in minor units, within an i64.
    pub fn of_engine(self, figure: u64) -> Option<engine::Terms> {
        let balancing = |source: Option<engine::Source>| engine::Terms {
            balancing: Some(engine::Balancing {
                min: 0,
                debit: Some(engine::DebitCap::Available),
                credit: None,
                source,
            }),
            ..engine::Terms::default()
        };
        let source = |last| engine::Source { total: u128::from(figure), last };
        let bound = Some(i128::from(figure));
        Some(match self {
            Self::None => return None,
            Self::Balanced => balancing(None),
            Self::Source => balancing(Some(source(false))),
            Self::LastSource => balancing(Some(source(true))),
            Self::KeepsAtLeast => {
                let available = engine::Range { at_least: bound, at_most: None };
                let debit = engine::AccountTerms { available, ..Default::default() };
                engine::Terms { debit, ..Default::default() }
            }
            Self::HasAtMost => {
                let posted = engine::Range { at_least: None, at_most: bound };
                let credit = engine::AccountTerms { posted, ..Default::default() };
                engine::Terms { credit, ..Default::default() }
            }
        })
    }

    /// As the generated code has it.
    pub fn message(self, figure: u64) -> Option<proto::Terms> {
        let balancing = |source: Option<proto::Source>| proto::Terms {
            balancing: Some(proto::Balancing {
                // A source has no least amount of its own.
                min_minor: source.is_none().then_some(0),
                debit: proto::DebitCap::Available.into(),
                source,
                ..Default::default()
            }),
            ..Default::default()
        };
        let source = |last| proto::Source { total_minor: figure, last, ..Default::default() };
        let bound = Some(figure as i64);
        Some(match self {
            Self::None => return None,
            Self::Balanced => balancing(None),
            Self::Source => balancing(Some(source(false))),
            Self::LastSource => balancing(Some(source(true))),
            Self::KeepsAtLeast => {
                let available = Some(proto::Range { at_least_minor: bound, ..Default::default() });
                let debit = Some(proto::AccountTerms { available, ..Default::default() });
                proto::Terms { debit, ..Default::default() }
            }
            Self::HasAtMost => {
                let posted = Some(proto::Range { at_most_minor: bound, ..Default::default() });
                let credit = Some(proto::AccountTerms { posted, ..Default::default() });
                proto::Terms { credit, ..Default::default() }
            }
        })
    }
}
