//! What the command line means and refuses.

use super::*;
use clap::CommandFactory;

fn run(arguments: &str) -> anyhow::Result<RunArgs> {
    let words = ["ducat-bench", "run"].into_iter().chain(arguments.split_whitespace());
    match Cli::try_parse_from(words)?.command {
        Command::Run(run) => Ok(*run),
        other => bail!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn defaults_suit_the_mode() {
    let sizes = |arguments| {
        let run = run(arguments).expect("parses");
        run.validate().expect("valid");
        (run.batch(), run.in_flight())
    };
    assert_eq!(sizes(""), (8192, 4));
    assert_eq!(sizes("--mode unary"), (1, 64));
    assert_eq!(sizes("--mode client"), (1, 1024));
    assert_eq!(sizes("--rate 1000 --batch 100"), (100, 1024));
}

#[test]
fn what_cannot_be_run_is_refused() {
    for arguments in [
        "--accounts 1",
        "--batch 0",
        "--batch 10001",
        "--mode unary --batch 2",
        "--mode client --batch 2",
        "--repeat-share 1",
        "--linked-share 0.5 --batch 1",
        "--rate 0",
        "--amount-max 0",
        "--duration 0",
        "--refund-share 0.2",
        "--workload refunds --refund-share 1.1",
        "--workload fees --terms-share 0.2",
        "--mode in-process --server http://localhost:1",
    ] {
        assert!(run(arguments).expect("parses").validate().is_err(), "{arguments}");
    }
    assert!(run("--server-pid 1").is_err());
    assert!(run("--server http://localhost:1 --durability none").is_err());
}
