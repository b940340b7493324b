//! Time of the parts in `parts/batch.rs`: order, prepare, decide, commit and conclude; and the whole path.

mod parts;

use criterion::{Criterion, criterion_group, criterion_main};

fn measure(criterion: &mut Criterion) {
    parts::bench(criterion, parts::batch::parts());
    parts::bench(criterion, parts::path::parts());
}

criterion_group! { name = benches; config = parts::criterion(); targets = measure }
criterion_main!(benches);
