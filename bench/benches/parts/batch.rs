//! A batch through order, prepare, decide, commit and conclude: each step alone, and all of
//! them with the batch's size, the number of accounts and their heat varied.

use super::bank::{Bank, Pick, Step, as_requests};
use super::{BATCH, Meter, Part};

/// All parts.
pub fn parts() -> Vec<Part> {
    let few = 10_000;
    let many = 1_000_000;
    let mut parts: Vec<_> = Step::ALL.map(|step| step_part(step, BATCH, few)).into();
    parts.extend(Step::ALL.map(|step| step_part(step, 100, few)));
    parts.extend(Step::ALL.map(|step| step_part(step, BATCH, many)));
    for accounts in [few, many] {
        parts.extend([1, 100, BATCH].map(|size| whole(size, accounts, Pick::Uniform)));
    }
    parts.extend([Pick::Zipf, Pick::Hot].map(|pick| whole(BATCH, few, pick)));
    parts
}

/// Those of which instructions are counted.
pub fn counted() -> Vec<Part> {
    let few = 10_000;
    let mut parts: Vec<_> = Step::ALL.map(|step| step_part(step, BATCH, few)).into();
    parts.extend([1, 100, BATCH].map(|size| whole(size, few, Pick::Uniform)));
    parts.push(whole(BATCH, few, Pick::Hot));
    parts
}

fn step_part(step: Step, size: usize, accounts: u64) -> Part {
    let condition = format!("{size} of {}", short(accounts));
    Part::new(("batch", step.name()), condition, size, move || {
        let mut bank = Bank::new(accounts, Pick::Uniform);
        move |meter: &mut Meter| {
            bank.restart_if_full();
            let requests = as_requests(bank.transfers(size));
            bank.run_measured(&requests, step, meter);
        }
    })
}

/// One repetition is 8192 transfers, whatever the size of the batches they come in.
fn whole(size: usize, accounts: u64, pick: Pick) -> Part {
    let batches = BATCH.div_ceil(size);
    let heat = match pick {
        Pick::Uniform => "",
        Pick::Zipf => " zipf",
        Pick::Hot => " one hot",
    };
    let condition = format!("{size} of {}{heat}", short(accounts));
    Part::new(("batch", "whole"), condition, batches * size, move || {
        let mut bank = Bank::new(accounts, pick);
        move |meter: &mut Meter| {
            bank.restart_if_full();
            let requests: Vec<_> =
                (0..batches).map(|_| as_requests(bank.transfers(size))).collect();
            meter.measure(|| {
                for requests in &requests {
                    bank.run(requests);
                }
            });
        }
    })
}

/// `10k` and the like, for names.
pub fn short(count: u64) -> String {
    match count {
        c if c >= 1_000_000 && c % 1_000_000 == 0 => format!("{}M", c / 1_000_000),
        c if c >= 1_000 && c % 1_000 == 0 => format!("{}k", c / 1_000),
        c => c.to_string(),
    }
}
