//! Time of the parts in `parts/replay.rs`: records applied to a ledger.

mod parts;

use criterion::{Criterion, criterion_group, criterion_main};

fn measure(criterion: &mut Criterion) {
    parts::bench(criterion, parts::replay::parts());
}

criterion_group! { name = benches; config = parts::criterion(); targets = measure }
criterion_main!(benches);
