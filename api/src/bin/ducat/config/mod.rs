//! Where `serve` has its settings from: flags, over environment variables, over a file, over
//! defaults; and the commands that show and check them.
//!
//! ```text
//! command line ▸ which file? ▸ file ▸ its values become the flags' defaults ▸ command line again
//! ```
//!
//! The file's values take the place of the flags' defaults, so that one parser checks all of
//! them and says where each has come from ([decision 30](../../../../../docs/adr/0030-configuration.md)).

mod file;
mod print;
mod schema;
mod settings;

pub use file::File;
pub use print::print;

use crate::Cli;
use crate::exit::{Done, Exit, Failure};
use crate::serve::ServeArgs;
use clap::error::ErrorKind;
use clap::{ArgAction, ArgMatches, Command, CommandFactory as _, FromArgMatches as _, Subcommand};
use settings::{SETTINGS, Setting};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Commands about the configuration of `serve`.
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Check what `serve` would start with: every name, every value, the files it names, and what
    /// the profile asks for. Starts nothing.
    Check(Box<ServeArgs>),
    /// Print what `serve` would start with, as a configuration file; comments say where each
    /// value has come from.
    Print(Box<ServeArgs>),
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
}

/// Reads the command line of this process, and the file that it names.
pub fn parse(line: impl IntoIterator<Item = OsString>) -> Result<(Cli, ArgMatches), Failure> {
    let line: Vec<OsString> = line.into_iter().collect();
    let first = Cli::command().get_matches_from(&line);
    let Some(path) = file_of(&first) else { return cli_of(first) };
    let file = File::read(&path)?;
    check_values(&file)?;
    cli_of(layered(Cli::command(), &file).get_matches_from(&line))
}

fn cli_of(matches: ArgMatches) -> Result<(Cli, ArgMatches), Failure> {
    let cli = Cli::from_arg_matches(&matches).map_err(|error| Failure::usage(error.to_string()))?;
    Ok((cli, matches))
}

/// The matches of `serve`, or of the command about its configuration.
pub fn of_serve(matches: &ArgMatches) -> Option<&ArgMatches> {
    match matches.subcommand()? {
        ("serve", serve) => Some(serve),
        ("config", config) => match config.subcommand()? {
            ("check" | "print", serve) => Some(serve),
            _ => None,
        },
        _ => None,
    }
}

fn file_of(matches: &ArgMatches) -> Option<PathBuf> {
    of_serve(matches)?.get_one::<PathBuf>("config").cloned()
}

/// The command line with the file's values for defaults.
fn layered(cli: Command, file: &File) -> Command {
    cli.mut_subcommand("serve", |serve| with_defaults(serve, file)).mut_subcommand(
        "config",
        |config| {
            config
                .mut_subcommand("check", |check| with_defaults(check, file))
                .mut_subcommand("print", |print| with_defaults(print, file))
        },
    )
}

fn with_defaults(mut command: Command, file: &File) -> Command {
    for (flag, value) in &file.values {
        let value = value.clone();
        command = command.mut_arg(*flag, |arg| {
            if is_list(flag) {
                let values: Vec<String> = value.split(',').map(str::to_owned).collect();
                arg.default_values(values)
            } else {
                arg.default_value(value)
            }
        });
    }
    command
}

/// Has each value's flag look at it, so that a wrong one is told of by its place in the file.
pub fn check_values(file: &File) -> Result<(), Failure> {
    for setting in SETTINGS {
        let Some(value) = file.values.get(setting.flag) else { continue };
        if is_switch(setting.flag) {
            continue;
        }
        check_value(setting, value).map_err(|why| {
            let (path, place) = (file.path.display(), setting.path());
            Failure::usage(format!("the configuration {path}: `{place}`: {why}"))
        })?;
    }
    Ok(())
}

fn check_value(setting: &Setting, value: &str) -> Result<(), String> {
    let name = setting.flag.replace('_', "-");
    let line = ["ducat".to_owned(), "serve".to_owned(), format!("--{name}={value}")];
    match Cli::command().try_get_matches_from(line) {
        Ok(_) => Ok(()),
        // Another setting belongs to this one, which may be a variable or stand further down.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => Ok(()),
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            Err(first.trim_start_matches("error: ").to_owned())
        }
    }
}

/// Whether the flag is one that is there or not.
fn is_switch(flag: &str) -> bool {
    action_of(flag).is_some_and(|action| matches!(action, ArgAction::SetTrue))
}

/// Whether the flag takes several values.
fn is_list(flag: &str) -> bool {
    action_of(flag).is_some_and(|action| matches!(action, ArgAction::Append))
}

fn action_of(flag: &str) -> Option<ArgAction> {
    let cli = Cli::command();
    let serve = cli.find_subcommand("serve")?;
    let arg = serve.get_arguments().find(|arg| arg.get_id().as_str() == flag)?;
    Some(arg.get_action().clone())
}

/// Runs a command about the configuration.
pub fn run(command: ConfigCommand, matches: &ArgMatches) -> Done {
    match command {
        ConfigCommand::Check(args) => {
            let checked = crate::serve::check_all(&args)?;
            println!("{checked}");
            Ok(Exit::Ok)
        }
        ConfigCommand::Print(args) => {
            let matches = of_serve(matches).expect("`print` has the flags of `serve`");
            let file = args.file()?;
            print!("{}", print(matches, file.as_ref()));
            Ok(Exit::Ok)
        }
        ConfigCommand::Schema => {
            println!("{:#}", schema::schema());
            Ok(Exit::Ok)
        }
    }
}

/// The settings whose values differ between two readings of a file and that only a start takes
/// over.
pub fn need_restart(before: &File, now: &File) -> Vec<String> {
    let differs = |setting: &&Setting| {
        !setting.reloads && before.values.get(setting.flag) != now.values.get(setting.flag)
    };
    SETTINGS.iter().filter(differs).map(Setting::path).collect()
}

/// Reads a file again, as a start would.
pub fn read_again(path: &Path) -> Result<File, Failure> {
    let file = File::read(path)?;
    check_values(&file)?;
    Ok(file)
}

/// What this process's `serve` would start with now, if the file holds this.
pub fn serve_again(file: &File) -> Result<ServeArgs, Failure> {
    let again = layered(Cli::command(), file).try_get_matches_from(std::env::args_os());
    let again = again.and_then(|matches| Cli::from_arg_matches(&matches));
    match again.map(|cli| cli.command) {
        Ok(crate::Command::Serve(args)) => Ok(*args),
        Ok(_) => Err(Failure::usage("this process does not serve")),
        Err(error) => Err(Failure::usage(error.to_string())),
    }
}
