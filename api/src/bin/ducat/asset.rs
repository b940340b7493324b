//! `ducat asset define`: assets that ISO 4217 does not list, through a running server.

use crate::dry_run::DryRunArg;
use crate::exit::{Done, Exit, Failure};
use crate::{Global, net, output};
use clap::Subcommand;
use ducat_api::proto;
use serde::Serialize;

/// What can be done with assets.
#[derive(Subcommand, Debug)]
pub enum AssetCommand {
    /// Define an asset (points, tokens). Defining the same one again changes nothing.
    #[command(after_help = "\
Examples:
  ducat asset define POINTS --digits 0
  ducat asset define ETHER --digits 18")]
    Define {
        /// 2 to 12 of A-Z and 0-9, beginning with a letter.
        code: String,
        /// Decimal digits of its smallest unit: 0 to 18.
        #[arg(long)]
        digits: u32,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
}

/// An asset as scripts read it.
#[derive(Serialize)]
struct AssetLine<'a> {
    code: &'a str,
    digits: u32,
    created: bool,
}

/// Runs an `asset` command.
pub async fn run(global: &Global, command: AssetCommand) -> Done {
    let AssetCommand::Define { code, digits, dry_run: dry } = command;
    let mut client = net::ledger(global).await?;
    let request = proto::DefineAssetRequest { code, digits, dry_run: dry.dry_run };
    let response = client.define_asset(request).await.map_err(|s| net::failed(&s))?.into_inner();
    dry.check(response.dry_run)?;
    output::print(&text(&response, global.json)?)?;
    Ok(Exit::Ok)
}

/// What is printed about an asset.
fn text(asset: &proto::DefineAssetResponse, json: bool) -> Result<String, Failure> {
    let proto::DefineAssetResponse { code, digits, created, dry_run } = asset;
    if json {
        return output::json(&AssetLine { code, digits: *digits, created: *created });
    }
    let what = match (created, dry_run) {
        (true, true) => "would be defined",
        (true, false) => "defined",
        (false, _) => "was defined before",
    };
    Ok(format!("asset {code} with {digits} digits {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_prints_both_ways() {
        let asset = proto::DefineAssetResponse {
            code: "POINTS".into(),
            digits: 0,
            created: true,
            dry_run: false,
        };
        assert_eq!(text(&asset, false).expect("text"), "asset POINTS with 0 digits defined");
        assert_eq!(
            text(&asset, true).expect("text"),
            r#"{"code":"POINTS","digits":0,"created":true}"#
        );
    }
}
