//! The settings a configuration file can hold, and which flag of `serve` each one stands for.
//!
//! The flag says everything else: its variable, its default, its range, what it is for. A flag
//! that is missing here fails a test.

/// One setting: where it stands in the file, and the flag it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The table of the file it stands in.
    pub section: &'static str,
    /// Its name there.
    pub key: &'static str,
    /// The id of the flag, `data_dir` for `--data-dir`.
    pub flag: &'static str,
    /// Whether SIGHUP takes a new value over.
    pub reloads: bool,
}

impl Setting {
    /// As people write it: `server.listen`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

/// The setting of this place, if there is one.
pub fn find(section: &str, key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.section == section && setting.key == key)
}

/// The tables of a file that hold settings, in the order they are printed in.
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&'static str> = SETTINGS.iter().map(|setting| setting.section).collect();
    sections.dedup();
    sections
}

const fn of(section: &'static str, key: &'static str, flag: &'static str) -> Setting {
    Setting { section, key, flag, reloads: false }
}

const fn reloaded(section: &'static str, key: &'static str, flag: &'static str) -> Setting {
    Setting { section, key, flag, reloads: true }
}

/// What [`SETTINGS`] says of files that are read again: the name may not change, the content may.
pub const SETTINGS: &[Setting] = &[
    of("server", "profile", "profile"),
    of("server", "listen", "listen"),
    of("server", "insecure_listen", "insecure_listen"),
    of("server", "development", "development"),
    of("server", "threads", "threads"),
    of("server", "partitions", "partitions"),
    of("server", "memory_ahead_mib", "memory_ahead_mib"),
    of("server", "ready_file", "ready_file"),
    of("server", "drain_timeout_ms", "drain_timeout_ms"),
    of("tls", "certificate_file", "tls_server_cert"),
    of("tls", "key_file", "tls_server_key"),
    of("tls", "client_ca_file", "tls_client_ca"),
    of("tls", "clients", "tls_clients"),
    of("tokens", "keys_file", "token_keys"),
    of("tokens", "issuer", "token_issuer"),
    of("tokens", "audience", "token_audience"),
    of("tokens", "algorithms", "token_algorithms"),
    of("tokens", "lifetime_max_s", "token_lifetime_max_s"),
    of("second_factor", "secrets_file", "second_factor_secrets"),
    of("second_factor", "session_s", "second_factor_session_s"),
    of("login", "passwords_file", "login_passwords"),
    of("login", "signing_key_file", "login_key"),
    of("two_persons", "above_minor", "two_persons_above"),
    of("journal", "data_dir", "data_dir"),
    of("journal", "durability", "durability"),
    of("journal", "segment_kib", "segment_kib"),
    of("encryption", "mode", "encryption"),
    of("encryption", "master_key_file", "master_key_file"),
    of("encryption", "master_key_command", "master_key_command"),
    of("encryption", "key_service", "key_service"),
    of("secret_fields", "fields", "secret_fields"),
    of("secret_fields", "key_file", "secret_fields_key_file"),
    of("secret_fields", "key_command", "secret_fields_key_command"),
    of("limits", "in_flight_max", "in_flight_max"),
    of("limits", "queue_delay_max_ms", "queue_delay_max_ms"),
    of("limits", "calls_max", "calls_max"),
    of("limits", "calls_per_principal_max", "calls_per_principal_max"),
    of("limits", "connections_max", "connections_max"),
    of("limits", "connections_per_address_max", "connections_per_address_max"),
    of("limits", "subscribers_max", "subscribers_max"),
    of("limits", "requests_mib", "requests_mib"),
    of("limits", "answers_mib", "answers_mib"),
    of("limits", "remembered_ids_max", "remembered_ids_max"),
    of("limits", "stream_window_batches", "stream_window"),
    of("limits", "room_timeout_ms", "room_timeout_ms"),
    of("limits", "unread_timeout_ms", "unread_timeout_ms"),
    of("snapshots", "ignore", "ignore_snapshots"),
    of("snapshots", "every", "snapshot_every"),
    of("snapshots", "journal_mib", "snapshot_journal_mib"),
    of("snapshots", "keep", "snapshot_keep"),
    of("archive", "run", "archive"),
    of("archive", "dir", "archive_dir"),
    of("archive", "keep_mib", "archive_keep_mib"),
    of("archive", "snapshots", "archive_snapshots"),
    of("archive", "every_ms", "archive_every_ms"),
    of("archive", "rate_mib_per_s", "archive_rate_mib"),
    of("backup", "dir", "backup_to"),
    of("backup", "every", "backup_every"),
    of("backup", "rate_mib_per_s", "backup_rate_mib"),
    of("disk", "reserve_mib", "disk_reserve_mib"),
    of("disk", "resume_mib", "disk_resume_mib"),
    of("disk", "every_ms", "disk_every_ms"),
    of("checkpoints", "dir", "checkpoints"),
    of("checkpoints", "every", "checkpoint_every"),
    of("checkpoints", "key_file", "checkpoint_key"),
    of("metrics", "listen", "metrics_listen"),
    of("audit", "trail", "audit"),
    of("audit", "keep_days", "audit_keep_days"),
    of("audit", "hash_key_file", "audit_hash_key"),
    of("console", "listen", "console_listen"),
    of("verification", "every", "verify_every"),
    of("alerts", "webhook_url", "alerts_webhook"),
    of("alerts", "secret_file", "alerts_secret"),
    of("alerts", "ca_file", "alerts_ca"),
    of("alerts", "every_ms", "alerts_every_ms"),
    of("alerts", "window_s", "alerts_window_s"),
    of("alerts", "hold_s", "alerts_hold_s"),
    of("alerts", "repeat_s", "alerts_repeat_s"),
    of("alerts", "failed_calls_percent_max", "alerts_failed_calls_percent_max"),
    of("alerts", "refusals_percent_max", "alerts_refusals_percent_max"),
    of("alerts", "latency_p99_ms_max", "alerts_latency_p99_ms_max"),
    of("alerts", "append_p99_ms_max", "alerts_append_p99_ms_max"),
    of("alerts", "posted_per_s_min", "alerts_posted_per_s_min"),
    of("alerts", "denied_per_s_max", "alerts_denied_per_s_max"),
    of("alerts", "backup_lag_s_max", "alerts_backup_lag_s_max"),
    of("breakers", "failures_max", "breaker_failures_max"),
    of("breakers", "open_ms_min", "breaker_open_ms_min"),
    of("breakers", "open_ms_max", "breaker_open_ms_max"),
    of("breakers", "call_timeout_ms", "breaker_call_timeout_ms"),
    of("traces", "endpoint_url", "traces_endpoint"),
    of("traces", "ca_file", "traces_ca"),
    of("traces", "headers_file", "traces_headers"),
    reloaded("traces", "own_percent", "traces_own_percent"),
    reloaded("traces", "sampled_per_s_max", "traces_sampled_per_s_max"),
    of("traces", "every_ms", "traces_every_ms"),
    of("traces", "waiting_max", "traces_waiting_max"),
    of("logs", "format", "log_format"),
    of("logs", "filter", "log_filter"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use std::collections::BTreeSet;

    #[test]
    fn every_flag_of_serve_is_a_setting_and_has_a_variable() {
        let cli = crate::Cli::command();
        let serve = cli.find_subcommand("serve").expect("there is one");
        let flags: BTreeSet<&str> = serve
            .get_arguments()
            .filter(|arg| !arg.is_global_set())
            .map(|arg| arg.get_id().as_str())
            .filter(|id| !matches!(*id, "config" | "help" | "version"))
            .collect();
        let settings: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.flag).collect();
        assert_eq!(flags, settings);
        assert_eq!(settings.len(), SETTINGS.len(), "none stands for another's flag");
        for arg in serve.get_arguments().filter(|arg| settings.contains(arg.get_id().as_str())) {
            assert!(arg.get_env().is_some(), "{} has no variable", arg.get_id());
        }
    }

    #[test]
    fn no_two_settings_stand_in_one_place() {
        let places: BTreeSet<String> = SETTINGS.iter().map(Setting::path).collect();
        assert_eq!(places.len(), SETTINGS.len());
        assert_eq!(sections().len(), sections().iter().collect::<BTreeSet<_>>().len());
    }
}
