#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ducat_fuzz::run("backup", bytes));
