//! Notes the git commit the harness is built from, for its reports. Without git, or outside
//! a checkout, the reports say "unknown".

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=DUCAT_GIT_COMMIT");
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let commit = std::env::var("DUCAT_GIT_COMMIT").ok().or_else(|| {
        let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
        let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
        Some(if changed.is_empty() { commit } else { format!("{commit}-modified") })
    });
    println!("cargo:rustc-env=DUCAT_GIT_COMMIT={}", commit.unwrap_or_else(|| "unknown".into()));
}

/// What git prints, or `None` when it fails or is not there.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    if !output.status.success() {
        return None;
    }
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
