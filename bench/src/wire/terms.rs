//! Terms by hand: messages in messages, each shorter than 128 bytes.

use super::Scratch;
use crate::item_terms::ItemTerms;

impl Scratch {
    /// `TransferRequest.terms`.
    pub(super) fn terms(&mut self, terms: ItemTerms, figure: u64) {
        // Field 50 takes two bytes.
        self.byte(0x92);
        self.nested(0x03, |terms_| match terms {
            ItemTerms::None => {}
            ItemTerms::Balanced => terms_.nested(0x0a, |balancing| {
                // The least is told although it is 0: unset is 1.
                balancing.number(0x08, 0);
                balancing.number(0x18, 1);
            }),
            ItemTerms::Source => terms_.source(figure, false),
            ItemTerms::LastSource => terms_.source(figure, true),
            ItemTerms::KeepsAtLeast => terms_.nested(0x12, |debit| {
                debit.nested(0x1a, |available| available.number(0x08, zigzag(figure)));
            }),
            ItemTerms::HasAtMost => terms_.nested(0x1a, |credit| {
                credit.nested(0x12, |posted| posted.number(0x10, zigzag(figure)));
            }),
        });
    }

    fn source(&mut self, total: u64, last: bool) {
        self.nested(0x0a, |balancing| {
            balancing.number(0x18, 1);
            balancing.nested(0x2a, |source| {
                source.number(0x08, total);
                if last {
                    source.number(0x18, 1);
                }
            });
        });
    }

    fn number(&mut self, key: u8, value: u64) {
        self.byte(key);
        self.varint(value);
    }

    /// A message under `key`, whose length is filled in afterwards.
    fn nested(&mut self, key: u8, fields: impl FnOnce(&mut Self)) {
        self.byte(key);
        let length_at = self.used;
        self.byte(0);
        fields(self);
        self.bytes[length_at] = (self.used - length_at - 1) as u8;
    }
}

/// As signed numbers are written; `figure` fits an i64.
fn zigzag(figure: u64) -> u64 {
    figure << 1
}
