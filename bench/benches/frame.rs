//! Time of the parts in `parts/frame.rs`: frames laid out, sealed and checked.

mod parts;

use criterion::{Criterion, criterion_group, criterion_main};

fn measure(criterion: &mut Criterion) {
    parts::bench(criterion, parts::frame::parts());
}

criterion_group! { name = benches; config = parts::criterion(); targets = measure }
criterion_main!(benches);
