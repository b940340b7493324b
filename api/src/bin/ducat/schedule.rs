//! `ducat schedule …`: transfers that recur by a calendar, through a running server.

mod print;

use crate::dry_run::DryRunArg;
use crate::exit::{Done, Exit, Failure};
use crate::pages::Pages;
use crate::transfer::{Units, units};
use crate::{Global, moment, net, output};
use clap::{Args, Subcommand, ValueEnum};
use ducat_api::client::Connection;
use ducat_api::import::Kind;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::schedules_client::SchedulesClient;
use ducat_api::proto::{self, schedule_calendar::Rule};
use ducat_engine::ids::{AccountId, ScheduleId};
use print::{schedule_text, schedules_text};
use std::path::PathBuf;

/// What can be done with schedules.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
A schedule makes the same transfer again and again, by a calendar. Each occurrence runs exactly once,
whatever stops the server: one that was missed meanwhile is run late, unless --missed says otherwise.

Examples:
  ducat schedule add --from 2 --to 3 --amount 850.00 --currency GBP --monthly 31 --at 09:00 \\
        --zone Europe/London --roll modified-following --holidays holidays.txt --label rent
  ducat schedule add --from 2 --to 4 --amount 5.00 --currency GBP --cron '0 12 * * MON' --runs 10 \\
        --retries 3 --retry-after 6h
  ducat schedule run 7 --dry-run
  ducat schedule list --status active
  ducat schedule show 0192f3a4-5b6c-7d8e-9f01-23456789abcd")]
pub enum ScheduleCommand {
    /// Define a schedule.
    Add(Box<AddArgs>),
    /// List schedules, in the order of their ids.
    List {
        /// Only those in this status.
        #[arg(long, value_enum)]
        status: Option<Status>,
        /// The most schedules to list; 0 for all.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u64,
    },
    /// Show a schedule with its last runs.
    Show {
        /// The schedule's id.
        schedule: ScheduleId,
    },
    /// Run a schedule by hand only, until it is resumed.
    Pause {
        /// The schedule's id.
        schedule: ScheduleId,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// Run a paused schedule by its calendar again. What fell due meanwhile is left out.
    Resume {
        /// The schedule's id.
        schedule: ScheduleId,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// End a schedule for good.
    Cancel {
        /// The schedule's id.
        schedule: ScheduleId,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// Run a schedule once now, beside its calendar.
    Run {
        /// The schedule's id.
        schedule: ScheduleId,
        /// The number that the run must have, one more than have begun: asking again runs it once.
        #[arg(long, value_name = "RUN", default_value_t = 0)]
        number: u64,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
}

/// A status, as it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Status {
    /// Runs by its calendar.
    Active,
    /// Runs by hand only.
    Paused,
    /// All its occurrences are over.
    Ended,
    /// It was cancelled.
    Cancelled,
}

impl From<Status> for proto::ScheduleStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Paused => Self::Paused,
            Status::Ended => Self::Ended,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

/// What becomes of days without business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Roll {
    /// Every day is as good.
    Stay,
    /// The next business day.
    Following,
    /// The business day before.
    Preceding,
    /// The next business day, or the one before where that lies in the next month.
    ModifiedFollowing,
    /// There is no occurrence.
    Skip,
}

/// What becomes of occurrences that were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Missed {
    /// All are run, one after another.
    RunAll,
    /// One is run in place of all.
    RunOnce,
    /// None is run.
    Skip,
}

/// Options of `schedule add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The account that pays.
    #[arg(long, value_name = "ACCOUNT")]
    from: AccountId,
    /// The account that receives.
    #[arg(long, value_name = "ACCOUNT")]
    to: AccountId,
    /// How much, as a decimal number such as 12.34.
    #[arg(long)]
    amount: String,
    /// The currency of both accounts.
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// A deposit comes from an external account, a withdrawal goes to one.
    #[arg(long, value_enum, default_value_t = Kind::Transfer)]
    kind: Kind,
    /// A name for people.
    #[arg(long, default_value = "")]
    label: String,
    #[command(flatten)]
    calendar: CalendarArgs,
    /// Nothing is due before this time, as in 2026-01-31T12:00:00Z; now when absent. Without a rule,
    /// the one time at which it is due.
    #[arg(long, value_name = "TIME", value_parser = moment::time_ns)]
    start: Option<u64>,
    /// Nothing that is due after this time runs.
    #[arg(long, value_name = "TIME", value_parser = moment::time_ns)]
    end: Option<u64>,
    /// The most runs by the calendar; 0 for no bound.
    #[arg(long, value_name = "N", default_value_t = 0)]
    runs: u32,
    /// A run that is refused for lack of funds is tried again so many times.
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// How long after the refusal, as in 6h or 90m.
    #[arg(long, value_name = "TIME", value_parser = moment::timeout_ms, default_value = "1h")]
    retry_after: u64,
    /// What becomes of occurrences that could not begin in time.
    #[arg(long, value_enum, default_value_t = Missed::RunAll)]
    missed: Missed,
    /// How late an occurrence may begin before it is missed.
    #[arg(long, value_name = "TIME", value_parser = moment::timeout_ms, default_value = "1h")]
    grace: u64,
    /// The schedule's id: a UUID or a whole number. A UUIDv7 is made when none is given.
    #[arg(long)]
    id: Option<ScheduleId>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// When.
#[derive(Args, Debug)]
struct CalendarArgs {
    /// A cron expression of five fields: minute, hour, day of month, month, day of week.
    #[arg(long, value_name = "EXPRESSION", group = "rule")]
    cron: Option<String>,
    /// Every so many days.
    #[arg(long, value_name = "N", group = "rule")]
    every_days: Option<u32>,
    /// On these days of the week, 1 (Monday) to 7, as in 1,5.
    #[arg(long, value_name = "DAYS", value_delimiter = ',', group = "rule")]
    weekly: Option<Vec<u32>>,
    /// On this day of the month; 31 is the end of every month.
    #[arg(long, value_name = "DAY", group = "rule")]
    monthly: Option<u32>,
    /// Only every so many weeks or months.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "rule")]
    every: u32,
    /// The time of day, of all rules but --cron, as in 09:00.
    #[arg(long, value_name = "HH:MM", value_parser = time_of_day_s, default_value = "00:00")]
    at: u32,
    /// The time zone, as in Europe/London.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    /// What becomes of occurrences on days without business.
    #[arg(long, value_enum, default_value_t = Roll::Stay)]
    roll: Roll,
    /// The weekend, 1 (Monday) to 7, as in 5,6; Saturday and Sunday when absent.
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    weekend: Vec<u32>,
    /// A file of days without business besides: one to a line, as in 2026-12-25, whatever follows it;
    /// empty lines and lines that begin with # are passed over.
    #[arg(long, value_name = "FILE")]
    holidays: Option<PathBuf>,
}

/// `09:00`, or `09:00:30`, in seconds since midnight.
fn time_of_day_s(text: &str) -> Result<u32, String> {
    let wrong = |_| format!("write a time of day as in 09:00, not `{text}`");
    let time: jiff::civil::Time = text.parse().map_err(wrong)?;
    let [hour, minute, second] = [time.hour(), time.minute(), time.second()].map(i32::from);
    Ok((hour * 3_600 + minute * 60 + second).unsigned_abs())
}

impl CalendarArgs {
    fn calendar(self) -> Result<proto::ScheduleCalendar, Failure> {
        let rule = match (self.cron, self.every_days, self.weekly, self.monthly) {
            (Some(expression), ..) => Some(Rule::Cron(expression)),
            (_, Some(days), ..) => Some(Rule::EveryDays(days)),
            (_, _, Some(weekdays), _) => {
                Some(Rule::Weekly(proto::WeeklyRule { every: self.every, weekdays }))
            }
            (_, _, _, Some(day)) => {
                Some(Rule::Monthly(proto::MonthlyRule { every: self.every, day }))
            }
            _ => None,
        };
        let roll = match self.roll {
            Roll::Stay => proto::Roll::Stay,
            Roll::Following => proto::Roll::Following,
            Roll::Preceding => proto::Roll::Preceding,
            Roll::ModifiedFollowing => proto::Roll::ModifiedFollowing,
            Roll::Skip => proto::Roll::Skip,
        };
        let holidays = match &self.holidays {
            None => Vec::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Failure::usage(format!("cannot read {}: {error}", path.display()))
                })?;
                holidays(&text)
            }
        };
        Ok(proto::ScheduleCalendar {
            rule,
            time_zone: self.zone,
            time_of_day_s: self.at,
            roll: roll.into(),
            weekend: self.weekend,
            holidays,
        })
    }
}

/// The days in a holiday file: the first word of each line.
fn holidays(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Runs a `schedule` command.
pub async fn run(global: &Global, command: ScheduleCommand) -> Done {
    let connection = net::connect(global).await?;
    let mut client =
        SchedulesClient::new(connection.clone()).max_decoding_message_size(net::MESSAGE_BYTES_MAX);
    let dry = command.dry_run();
    let change = |id: ScheduleId| proto::ChangeScheduleRequest {
        id: id.low(),
        id_high: id.high(),
        dry_run: dry.dry_run,
    };
    let answer = match command {
        ScheduleCommand::List { status, limit } => {
            return list(global, &mut client, status, limit).await;
        }
        ScheduleCommand::Add(args) => client.create_schedule(asked(*args)?).await,
        ScheduleCommand::Show { schedule } => {
            let request =
                proto::GetScheduleRequest { id: schedule.low(), id_high: schedule.high() };
            client.get_schedule(request).await
        }
        ScheduleCommand::Pause { schedule, .. } => client.pause_schedule(change(schedule)).await,
        ScheduleCommand::Resume { schedule, .. } => client.resume_schedule(change(schedule)).await,
        ScheduleCommand::Cancel { schedule, .. } => client.cancel_schedule(change(schedule)).await,
        ScheduleCommand::Run { schedule, number, dry_run: DryRunArg { dry_run } } => {
            let (id, id_high, run) = (schedule.low(), schedule.high(), number);
            client.run_schedule(proto::RunScheduleRequest { id, id_high, run, dry_run }).await
        }
    };
    let answer = answer.map_err(|status| net::failed(&status))?.into_inner();
    dry.check(answer.dry_run)?;
    let Some(schedule) = &answer.schedule else {
        let text = "the server answered without a schedule; see its log";
        return Err(Failure::new(Exit::Internal, text));
    };
    let units = match &answer.transfer {
        Some(outcome) => units_of(net::ledger_on(connection), schedule, outcome).await,
        None => Units::default(),
    };
    let dry_answer = answer.dry_run.then_some((&answer, &units));
    output::print(&schedule_text(schedule, dry_answer, global.json)?)?;
    dry.tell(answer.dry_run_lsn);
    Ok(Exit::Ok)
}

/// What the balances of a schedule's transfer are written in.
async fn units_of(
    mut client: LedgerClient<Connection>,
    schedule: &proto::Schedule,
    outcome: &proto::Outcome,
) -> Units {
    let definition = schedule.definition.clone().unwrap_or_default();
    let pays = definition.transfer.unwrap_or_default();
    let from = AccountId::from_halves(pays.debit_account_high, pays.debit_account);
    let to = AccountId::from_halves(pays.credit_account_high, pays.credit_account);
    match (from, to) {
        (Ok(from), Ok(to)) => units(&mut client, outcome, from, to).await,
        _ => Units::default(),
    }
}

impl ScheduleCommand {
    /// Whether it is only tried.
    fn dry_run(&self) -> DryRunArg {
        match self {
            Self::Add(args) => args.dry_run,
            Self::Pause { dry_run, .. }
            | Self::Resume { dry_run, .. }
            | Self::Cancel { dry_run, .. }
            | Self::Run { dry_run, .. } => *dry_run,
            Self::List { .. } | Self::Show { .. } => DryRunArg { dry_run: false },
        }
    }
}

fn asked(args: AddArgs) -> Result<proto::CreateScheduleRequest, Failure> {
    let id = match args.id {
        Some(id) => id,
        None => {
            let id = args.dry_run.id(None, "schedule")?;
            ScheduleId::from_halves(id.high(), id.low())
                .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?
        }
    };
    let missed = match args.missed {
        Missed::RunAll => proto::Missed::RunAll,
        Missed::RunOnce => proto::Missed::RunOnce,
        Missed::Skip => proto::Missed::Skip,
    };
    let seconds = |ms: u64| u32::try_from(ms.div_ceil(1_000)).unwrap_or(u32::MAX);
    let definition = proto::ScheduleDefinition {
        id: id.low(),
        id_high: id.high(),
        label: args.label,
        transfer: Some(proto::PlannedTransfer {
            debit_account: args.from.low(),
            debit_account_high: args.from.high(),
            credit_account: args.to.low(),
            credit_account_high: args.to.high(),
            amount: args.amount,
            currency: args.currency,
            kind: args.kind.wire(),
        }),
        calendar: Some(args.calendar.calendar()?),
        start_ns: args.start.unwrap_or(0),
        end_ns: args.end.unwrap_or(0),
        runs_max: args.runs,
        retries: args.retries,
        retry_after_s: seconds(args.retry_after),
        missed: missed.into(),
        grace_s: seconds(args.grace),
    };
    let dry_run = args.dry_run.dry_run;
    Ok(proto::CreateScheduleRequest { definition: Some(definition), dry_run })
}

async fn list(
    global: &Global,
    client: &mut SchedulesClient<Connection>,
    status: Option<Status>,
    limit: u64,
) -> Done {
    let mut pages = Pages::of(limit, 200);
    let mut all = Vec::new();
    while let Some((page_size, after)) = pages.next_page() {
        let status = status.map_or(proto::ScheduleStatus::Unspecified, Into::into).into();
        let request = proto::ListSchedulesRequest { status, page_size, after };
        let page = client.list_schedules(request).await.map_err(|status| net::failed(&status))?;
        let page = page.into_inner();
        pages.came(page.schedules.len(), page.next);
        all.extend(page.schedules);
    }
    output::print(&schedules_text(&all, global.json)?)?;
    if pages.follow() {
        eprintln!("ducat: more schedules may follow; --limit 0 lists all");
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holiday_file_is_read_line_by_line() {
        let text = "# bank holidays\n2026-12-25 Christmas Day\n\n  2026-12-28\n";
        assert_eq!(holidays(text), ["2026-12-25", "2026-12-28"]);
    }

    #[test]
    fn a_time_of_day_is_read_to_the_second() {
        assert_eq!(time_of_day_s("09:00"), Ok(32_400));
        assert_eq!(time_of_day_s("23:59:59"), Ok(86_399));
        assert!(time_of_day_s("24:00").is_err() && time_of_day_s("noon").is_err());
    }
}
