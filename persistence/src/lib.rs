//! Ducat's journal: what was decided, kept so that it survives pulling the plug.
//!
//! This room knows nothing of money. It takes opaque records with their places
//! in a total order, lays them into checksummed, hash-chained frames, makes them
//! durable and gives them back, or says loudly what is missing.
//!
//! ```text
//! records ─▶ AppendBuffer ─▶ Writer::append ─▶ sled segment ─▶ fdatasync ─▶ mark ─▶ "durable up to LSN"
//!            (frames laid      (seals frames:                               (outside sled:
//!             out in place)     epoch, hash, CRC)                            what must be found again)
//! restart ─▶ Journal::open_writer_with ─▶ every frame checked, in order ─▶ visitor ─▶ Tail
//! ```
//!
//! * [`contract`]: the traits every journal keeps, and its errors;
//! * [`append`], [`frame`]: how records become bytes;
//! * [`chain`]: the check that what was found is what was written;
//! * [`data_dir`], [`mark`]: the files around the store; [`disk`]: the room there is;
//! * [`sled_journal`]: the journal on disk;
//! * [`raw`]: the journal read from its files alone, also while a server writes it;
//! * [`origin`]: what a restored or forked ledger was made from;
//! * [`memory`]: the contract without a disk;
//! * [`snapshot`]: a shard's state at one LSN, in files beside the journal;
//! * [`archive`]: the journal's oldest part, in compressed files beside it;
//! * [`backup`]: the whole journal and its newest snapshots, in files on another disk;
//! * [`vault`]: the keys under which all of that lies on the disk, if it is encrypted;
//! * [`witness`]: signed checkpoints of the journal, outside the data directory.

pub mod append;
pub mod archive;
pub mod backup;
mod behind;
mod causes;
pub mod chain;
#[cfg(feature = "testing")]
pub mod conformance;
pub mod contract;
pub mod data_dir;
pub mod disk;
mod files;
pub mod frame;
pub mod ledger_id;
mod look;
pub mod mark;
pub mod memory;
pub mod origin;
mod packed;
pub mod raw;
mod sealed;
pub mod sled_journal;
pub mod snapshot;
pub mod vault;
pub mod witness;

pub use append::{AppendBuffer, RecordTooLarge};
pub use archive::{ArchiveError, ArchiveStore, ArchivedJournal};
pub use backup::{BackupError, BackupJournal, BackupStore};
pub use causes::with_causes;
pub use contract::{
    AppendError, BoxError, Damage, DroppedTail, FrameReader, Journal, JournalError, Piece, Place,
    ReplayError, ScanProgress, Tail, TrimReport, Visitor, Writer,
};
pub use data_dir::{DataDir, DataDirError, Held};
pub use frame::{Frame, FrameError, FrameHash, FrameHeader};
pub use ledger_id::LedgerId;
pub use look::{Leftover, LookAround};
pub use memory::MemoryJournal;
pub use origin::{Origin, OriginKind};
pub use raw::{RawError, RawJournal};
pub use sled_journal::SledJournal;
pub use sled_journal::options::{SledOptions, Syncer};
pub use vault::{Vault, VaultError};
