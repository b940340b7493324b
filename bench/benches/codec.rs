//! Time of the parts in `parts/codec.rs`: requests from the wire, answers to it, records to the journal and back.

mod parts;

use criterion::{Criterion, criterion_group, criterion_main};

fn measure(criterion: &mut Criterion) {
    parts::bench(criterion, parts::codec::parts());
}

criterion_group! { name = benches; config = parts::criterion(); targets = measure }
criterion_main!(benches);
