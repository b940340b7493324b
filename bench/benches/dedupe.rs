//! Time of the parts in `parts/dedupe.rs`: the memory of transfer ids.

mod parts;

use criterion::{Criterion, criterion_group, criterion_main};

fn measure(criterion: &mut Criterion) {
    parts::bench(criterion, parts::dedupe::parts());
}

criterion_group! { name = benches; config = parts::criterion(); targets = measure }
criterion_main!(benches);
