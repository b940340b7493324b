//! `ducat proposals`, `ducat approve` and `ducat reject`: what one person asked for and a second one
//! looks at.

use crate::exit::{Done, Exit, Failure};
use crate::{Global, ask, net, output};
use clap::Args;
use ducat_api::client::Connection;
use ducat_api::proto::approvals_client::ApprovalsClient;
use ducat_api::proto::{self, Proposal, ProposalState};
use ducat_api::wire_json;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Options of `proposals`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ducat proposals
  ducat --json proposals")]
pub struct ProposalsArgs {}

/// Options of `approve`.
#[derive(Args, Debug)]
#[command(after_help = "\
Shows what was asked for, by whom, and asks whether it is to be done. It is done as it is shown, once, on
behalf of both.

Examples:
  ducat --totp 123456 approve 0199a5d2-7c1e-7b3a-9f4e-1f0a2b3c4d5e
  ducat --totp - approve 0199a5d2-7c1e-7b3a-9f4e-1f0a2b3c4d5e --yes")]
pub struct ApproveArgs {
    /// The proposal's id, as the refused command and `ducat proposals` print it.
    #[arg(value_name = "ID")]
    id: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Options of `reject`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ducat reject 0199a5d2-7c1e-7b3a-9f4e-1f0a2b3c4d5e")]
pub struct RejectArgs {
    /// The proposal's id.
    #[arg(value_name = "ID")]
    id: String,
}

async fn client(global: &Global) -> Result<ApprovalsClient<Connection>, Failure> {
    let connection = net::connect(global).await?;
    Ok(ApprovalsClient::new(connection).max_decoding_message_size(net::MESSAGE_BYTES_MAX))
}

async fn listed(client: &mut ApprovalsClient<Connection>) -> Result<Vec<Proposal>, Failure> {
    let mut request = proto::ListProposalsRequest::default();
    let mut all = Vec::new();
    loop {
        let answer = client.list_proposals(request).await;
        let page = answer.map_err(|status| net::failed(&status))?.into_inner();
        all.extend(page.proposals);
        if page.next.is_empty() {
            return Ok(all);
        }
        request = proto::ListProposalsRequest { after: page.next, ..Default::default() };
    }
}

/// Runs `proposals`.
pub async fn run_list(global: &Global, _args: &ProposalsArgs) -> Done {
    for proposal in listed(&mut client(global).await?).await? {
        show(global, &proposal)?;
    }
    Ok(Exit::Ok)
}

/// Runs `approve`.
pub async fn run_approve(global: &Global, args: &ApproveArgs) -> Done {
    let mut client = client(global).await?;
    let all = listed(&mut client).await?;
    let Some(proposal) = all.into_iter().find(|proposal| proposal.id == args.id) else {
        let sentence = format!("no proposal {} waits; `ducat proposals` lists them", args.id);
        return Err(Failure::new(Exit::Refused, sentence));
    };
    if !args.yes {
        eprintln!("{}", sentence(&proposal));
        if !ask::yes("Is this to be done?")? {
            return Err(Failure::new(Exit::Refused, "nothing was done".to_owned()));
        }
    }
    let request = proto::ApproveRequest { id: proposal.id, digest: proposal.digest };
    let answer = client.approve(request).await.map_err(|status| net::failed(&status))?.into_inner();
    let done = answer.proposal.unwrap_or_default();
    let result = wire_json::answer(&done.method, &answer.response);
    if global.json {
        let mut value = to_json(&done);
        value["response"] = result.unwrap_or(Value::Null);
        output::print(&value.to_string())?;
        return Ok(Exit::Ok);
    }
    output::print(&sentence(&done))?;
    Ok(Exit::Ok)
}

/// Runs `reject`.
pub async fn run_reject(global: &Global, args: &RejectArgs) -> Done {
    let request = proto::RejectRequest { id: args.id.clone() };
    let answer = client(global).await?.reject(request).await;
    let answer = answer.map_err(|status| net::failed(&status))?.into_inner();
    let gone = answer.proposal.unwrap_or_default();
    if global.json {
        output::print(&to_json(&gone).to_string())?;
    } else {
        output::print(&format!("rejected {}: {} of {}", gone.id, gone.method, gone.proposed_by))?;
    }
    Ok(Exit::Ok)
}

fn show(global: &Global, proposal: &Proposal) -> Result<(), Failure> {
    if global.json {
        return output::print(&to_json(proposal).to_string());
    }
    output::print(&sentence(proposal))
}

const fn state_name(state: ProposalState) -> &'static str {
    match state {
        ProposalState::Open => "open",
        ProposalState::Running => "running",
        ProposalState::Done => "done",
    }
}

fn time(ns: u64) -> String {
    let time = Timestamp::from_second(i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX));
    time.map_or_else(|_| ns.to_string(), |time| time.to_string())
}

/// `open 0199…  Ledger/SetAccountLimits {"id":"7",…}  by anna, until …`
fn sentence(proposal: &Proposal) -> String {
    let request = wire_json::request(&proposal.method, &proposal.request);
    let request = request.map_or_else(|| "(not readable)".to_owned(), |json| json.to_string());
    let end = match proposal.state() {
        ProposalState::Done => format!("approved by {}", proposal.approved_by),
        _ => format!("until {}", time(proposal.expires_ns)),
    };
    let Proposal { id, method, proposed_by, .. } = proposal;
    let state = state_name(proposal.state());
    format!("{state} {id}: {method} {request}, proposed by {proposed_by}, {end}")
}

fn to_json(proposal: &Proposal) -> Value {
    json!({
        "id": proposal.id,
        "state": state_name(proposal.state()),
        "method": proposal.method,
        "request": wire_json::request(&proposal.method, &proposal.request),
        "proposed_by": proposal.proposed_by,
        "proposed_ns": proposal.proposed_ns.to_string(),
        "expires_ns": proposal.expires_ns.to_string(),
        "approved_by": proposal.approved_by,
    })
}
