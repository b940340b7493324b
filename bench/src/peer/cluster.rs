//! A PostgreSQL server of our own: `initdb` into a temporary directory, `postgres` on a Unix
//! socket nobody else reaches, stopped and removed at the end.

use crate::procfs::keyed;
use anyhow::{Context, bail, ensure};
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_postgres::Config;

/// How long it may take to answer, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a starting or stopping server is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The superuser of our clusters.
const USER: &str = "ducat_bench";

/// Most connections a server of ours takes.
pub const CONNECTIONS_MAX: usize = 1000;

/// A running server; killed when dropped.
pub struct Cluster {
    child: Child,
    /// How to connect.
    pub config: Config,
    directory: TempDir,
    /// Apart from the data, since the path of a socket must be short.
    _socket: TempDir,
}

/// The user a server runs as when we are root, which PostgreSQL refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Cluster {
    /// Makes a cluster below `parent` and starts its server; `binaries` holds `initdb` and
    /// `postgres`, looked for where it is not given.
    pub async fn start(parent: Option<&Path>, binaries: Option<&Path>) -> anyhow::Result<Self> {
        let binaries = find(binaries)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix("ducat-peer-");
        let directory = match parent {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        }
        .context("make a directory for PostgreSQL (name another place with --data-parent)")?;
        let socket = builder.tempdir().context("make a directory for PostgreSQL's socket")?;
        let owner = owner()?;
        if let Some(owner) = owner {
            for path in [directory.path(), socket.path()] {
                chown(path, Some(owner.uid), Some(owner.gid))
                    .with_context(|| format!("give {} to PostgreSQL's user", path.display()))?;
            }
        }
        let data = directory.path().join("data");
        make(&binaries, owner, &data)?;
        let child = serve(&binaries, owner, directory.path(), &data, socket.path())?;
        let mut config = Config::new();
        config.host_path(socket.path()).user(USER).dbname("postgres");
        let mut cluster = Self { child, config, directory, _socket: socket };
        cluster.wait_until_it_answers().await?;
        Ok(cluster)
    }

    /// The directory whose disk is written to.
    pub fn data_directory(&self) -> &Path {
        self.directory.path()
    }

    async fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().context("watch PostgreSQL")? {
                let said = fs::read_to_string(log(self.directory.path())).unwrap_or_default();
                bail!("PostgreSQL ended ({status}) before it answered. It said:\n{said}");
            }
            match crate::target_postgres::connect(&self.config).await {
                Ok(_) => return Ok(()),
                Err(e) if begun.elapsed() > PATIENCE => {
                    return Err(e).context("PostgreSQL does not answer");
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Asks it to end its sessions and stop, and waits.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        signal(&self.child, libc::SIGINT)?;
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if self.child.try_wait().context("watch PostgreSQL")?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("PostgreSQL did not stop within {} s and was killed", PATIENCE.as_secs())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // At once, children included; they notice a killed parent only later.
        if signal(&self.child, libc::SIGQUIT).is_ok() {
            let asked = Instant::now();
            while asked.elapsed() < Duration::from_secs(5) {
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    return;
                }
                std::thread::sleep(POLL);
            }
        }
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, signal: i32) -> anyhow::Result<()> {
    let pid = libc::pid_t::try_from(child.id()).context("PostgreSQL's process id")?;
    // SAFETY: kill sends a signal to our own child, which has not been waited for.
    if unsafe { libc::kill(pid, signal) } != 0 {
        return Err(std::io::Error::last_os_error()).context("ask PostgreSQL to stop");
    }
    Ok(())
}

fn log(directory: &Path) -> PathBuf {
    directory.join("log")
}

fn make(binaries: &Path, owner: Option<Owner>, data: &Path) -> anyhow::Result<()> {
    let mut command = command(&binaries.join("initdb"), owner);
    command.args(["--auth=trust", "--no-locale", "--encoding=UTF8", "--username", USER]);
    let output = command.arg("--pgdata").arg(data).output().context("run initdb")?;
    ensure!(
        output.status.success(),
        "initdb failed in {} (its user must be able to enter every directory above; choose \
         another with --data-parent): {}",
        data.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

fn serve(
    binaries: &Path,
    owner: Option<Owner>,
    directory: &Path,
    data: &Path,
    socket: &Path,
) -> anyhow::Result<Child> {
    let log = File::create(log(directory)).context("create PostgreSQL's log")?;
    let mut command = command(&binaries.join("postgres"), owner);
    command.arg("-D").arg(data);
    for (name, value) in settings(memory_bytes()) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command.arg("-c").arg(format!("unix_socket_directories={}", socket.display()));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("start postgres")
}

/// What a server of ours is told; the rest is as PostgreSQL comes, durability included, which
/// is named all the same so that nothing depends on it.
fn settings(memory_bytes: u64) -> Vec<(&'static str, String)> {
    let mib = |bytes: u64| format!("{}MB", (bytes >> 20).max(128));
    vec![
        ("fsync", "on".into()),
        ("synchronous_commit", "on".into()),
        ("full_page_writes", "on".into()),
        ("shared_buffers", mib(memory_bytes / 4)),
        ("effective_cache_size", mib(memory_bytes / 4 * 3)),
        // No checkpoint in the middle of a run, and no records for replicas there are not.
        ("max_wal_size", "8GB".into()),
        ("checkpoint_timeout", "30min".into()),
        ("wal_buffers", "64MB".into()),
        ("wal_level", "minimal".into()),
        ("max_wal_senders", "0".into()),
        ("jit", "off".into()),
        ("max_connections", CONNECTIONS_MAX.to_string()),
        ("listen_addresses", String::new()),
    ]
}

fn memory_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    keyed(&meminfo, "MemTotal:").unwrap_or(0) * 1024
}

fn command(binary: &Path, owner: Option<Owner>) -> Command {
    let mut command = Command::new(binary);
    if let Some(owner) = owner {
        command.uid(owner.uid).gid(owner.gid).current_dir("/");
    }
    // The settings are those named here.
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command
}

/// The user to run as; `None` is ourselves.
fn owner() -> anyhow::Result<Option<Owner>> {
    // SAFETY: geteuid only reads the process's own credentials.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").context("look for PostgreSQL's user")?;
    let found = ["postgres", "nobody"].iter().find_map(|name| user(&passwd, name));
    found.map(Some).context("PostgreSQL refuses root, and there is no user `postgres` or `nobody`")
}

fn user(passwd: &str, name: &str) -> Option<Owner> {
    let mut lines = passwd.lines().map(|line| line.split(':'));
    let mut fields = lines.find_map(|mut f| (f.next() == Some(name)).then_some(f))?;
    Some(Owner { uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

/// The directory with `initdb` and `postgres`.
pub fn find(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let holds = |path: &PathBuf| path.join("initdb").is_file() && path.join("postgres").is_file();
    if let Some(given) = given {
        let given = given.to_owned();
        ensure!(holds(&given), "there is no initdb and postgres in {}", given.display());
        return Ok(given);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(of_debian(Path::new("/usr/lib/postgresql")));
    places.into_iter().find(holds).context(
        "PostgreSQL's server (initdb, postgres) is not installed here: .ci/install-postgres \
         installs it from Debian's packages, --url names a running one",
    )
}

/// Debian's places, the newest version first: they are not in the path.
fn of_debian(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let version = |entry: fs::DirEntry| {
        Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
    };
    let mut found: Vec<_> = entries.flatten().filter_map(version).collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "postgres2:x:1:2:::\npostgres:x:101:104:a,,:/var:/bin/sh\n";
        assert_eq!(user(passwd, "postgres"), Some(Owner { uid: 101, gid: 104 }));
        assert_eq!(user(passwd, "nobody"), None);
    }

    #[test]
    fn the_newest_version_comes_first() {
        let root = tempfile::tempdir().expect("a temporary directory");
        for version in ["9", "15", "16", "common"] {
            fs::create_dir(root.path().join(version)).expect("made");
        }
        let expected = ["16", "15", "9"].map(|v| root.path().join(v).join("bin"));
        assert_eq!(of_debian(root.path()), expected);
    }

    #[test]
    fn what_is_missing_is_said() {
        let empty = tempfile::tempdir().expect("a temporary directory");
        let error = find(Some(empty.path())).expect_err("there is nothing in it");
        assert!(error.to_string().contains("initdb"), "{error}");
    }

    #[test]
    fn buffers_are_a_quarter_of_memory() {
        let all = settings(8 << 30);
        assert!(all.contains(&("shared_buffers", "2048MB".to_owned())));
        assert!(all.contains(&("fsync", "on".to_owned())));
    }
}
