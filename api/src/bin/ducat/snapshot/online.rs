//! Snapshots of a running server, through the service `Operator`.

use super::print::{
    ListLine, Made, SnapshotLine, listing, made, print_checked, print_removed, snapshot,
};
use super::{Which, missing};
use crate::exit::{Done, Exit, Failure};
use crate::{Global, net, output};
use ducat_api::client::Connection;
use ducat_api::proto;
use ducat_api::proto::operator_client::OperatorClient;
use ducat_engine::ids::Lsn;

type Client = OperatorClient<Connection>;

async fn client(global: &Global) -> Result<Client, Failure> {
    Ok(net::operator_on(net::connect(global).await?))
}

/// Takes one.
pub async fn create(global: &Global) -> Done {
    let request = proto::CreateSnapshotRequest {};
    let answer = client(global).await?.create_snapshot(request).await;
    let answer = answer.map_err(|status| net::failed(&status))?.into_inner();
    let line = SnapshotLine::from(&answer.snapshot.unwrap_or_default());
    let how = Made { took_ns: answer.took_ns, created: answer.created };
    output::print(&made(&line, how, global.json)?)?;
    Ok(Exit::Ok)
}

async fn listed(client: &mut Client) -> Result<Vec<proto::Snapshot>, Failure> {
    let answer = client.list_snapshots(proto::ListSnapshotsRequest {}).await;
    Ok(answer.map_err(|status| net::failed(&status))?.into_inner().snapshots)
}

/// Lists all.
pub async fn list(global: &Global) -> Done {
    let listed = listed(&mut client(global).await?).await?;
    let lines: Vec<ListLine> = listed.iter().map(ListLine::from).collect();
    if lines.is_empty() {
        eprintln!("ducat: there is no snapshot");
        return Ok(Exit::Ok);
    }
    output::print(&listing(&lines, global.json)?)?;
    Ok(Exit::Ok)
}

/// Has the server read one whole; the inner error says what is wrong with it.
async fn read(
    client: &mut Client,
    which: Which,
) -> Result<Result<SnapshotLine, proto::Snapshot>, Failure> {
    let lsn = match which {
        Which::Newest => 0,
        Which::At(Lsn(0)) => return Err(missing(which)),
        Which::At(lsn) => lsn.0,
    };
    let answer = client.verify_snapshot(proto::VerifySnapshotRequest { lsn }).await;
    let answer = answer.map_err(|status| net::failed(&status))?.into_inner();
    let snapshot = answer.snapshot.unwrap_or_default();
    Ok(if answer.sound { Ok(SnapshotLine::from(&snapshot)) } else { Err(snapshot) })
}

/// Shows one.
pub async fn show(global: &Global, which: Which) -> Done {
    match read(&mut client(global).await?, which).await? {
        Ok(line) => {
            output::print(&snapshot(&line, global.json)?)?;
            Ok(Exit::Ok)
        }
        Err(unsound) => Err(Failure::new(Exit::Damaged, unsound.problem)),
    }
}

/// Reads them whole.
pub async fn verify(global: &Global, which: &[Which]) -> Done {
    let mut client = client(global).await?;
    let which: Vec<Which> = match which {
        [] => listed(&mut client).await?.iter().map(|s| Which::At(Lsn(s.lsn))).collect(),
        which => which.to_vec(),
    };
    if which.is_empty() {
        return Err(missing(Which::Newest));
    }
    let mut exit = Exit::Ok;
    for which in which {
        let read = read(&mut client, which).await?;
        if !print_checked(read.as_ref(), global.json)? {
            exit = Exit::Damaged;
        }
    }
    Ok(exit)
}

/// Removes all but the newest.
pub async fn prune(global: &Global, keep: u32) -> Done {
    let answer = client(global).await?.prune_snapshots(proto::PruneSnapshotsRequest { keep }).await;
    let removed = answer.map_err(|status| net::failed(&status))?.into_inner().removed;
    output::print(&print_removed(&removed, global.json)?)?;
    Ok(Exit::Ok)
}
