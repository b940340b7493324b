//! placeholder
#[derive(clap::Args, Debug, Clone)]
pub struct RaceArgs {}
pub async fn race(_: &RaceArgs) -> anyhow::Result<bool> {
    Ok(true)
}
