//! Bugs on purpose, planted between the machines, in the glue around the journal's parts, and in
//! the taking of snapshots. The product holds none of this.

/// A bug on purpose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// None: the product as it is.
    None,
    /// Known ids are taken for new ones.
    SkipDedupe,
    /// Ids are forgotten by a restart.
    ForgetIdsAtRestart,
    /// Ids are forgotten in a quarter of the time.
    ForgetTooEarly,
    /// A pause counts in full: a clock that jumps makes a snapshot forget.
    CountPausesInFull,
    /// Other content under a known id is answered with the outcome there was.
    IgnoreChangedContent,
    /// A repeat is answered with the balances of now.
    UnstableRepeat,
    /// Transfers are committed when the first partition has voted.
    ApplyBeforeVotes,
    /// A vote that waits is taken for a yes.
    WaitIsYes,
    /// A vote that waits is taken for a no.
    WaitIsNo,
    /// The credit is lost when its account is hosted elsewhere than the debit's.
    DropCredit,
    /// A refused transfer leaves its hold behind.
    UnfreezeMissing,
    /// Linked transfers are taken one by one.
    LinkLost,
    /// A mailbox gives its newest message first.
    MailboxNotFifo,
    /// A change of status does not reach the partition.
    StatusLost,
    /// Journalled time is the clock's, backwards and all.
    TimeGoesBack,
    /// Outcomes leave before they are durable.
    AnswerBeforeDurable,
    /// What waits behind an append is answered with it.
    AnswerTheNextToo,
    /// A failed sync counts as done.
    AckFailedSync,
    /// A failed sync is tried again.
    RetryFailedSync,
    /// The frames are not synced before the mark is written.
    SkipSync,
    /// The mark is written before the frames are synced.
    MarkBeforeSync,
    /// The mark is not written.
    LoseMark,
    /// The mark is written and not synced.
    MarkUnsynced,
    /// A start takes part of an append for all of it.
    IgnoreTornTail,
    /// A torn tail stays on the disk.
    KeepTornTail,
    /// Checksums are not looked at.
    SkipChecksum,
    /// A new segment's name is not synced.
    SkipDirSync,
    /// After a failed append the writer goes on.
    SkipPoison,
    /// A start takes no new epoch.
    EpochReused,
    /// A snapshot holds some accounts as they are when it comes to them.
    SnapshotMissesChange,
    /// A snapshot says that it stands at a later event.
    SnapshotOfWrongLsn,
    /// A snapshot holds no ids.
    SnapshotWithoutIds,
    /// A snapshot begins between the commits of two partitions.
    SnapshotTornAcross,
    /// A snapshot gets its name before its bytes are durable.
    SnapshotUnsynced,
    /// The journal is trimmed beyond what the snapshots hold.
    TrimTooFar,
    /// Segments are removed before the mark says so.
    TrimBeforeMark,
    /// A snapshot holds nothing of what was given back.
    SnapshotWithoutRefunds,
    /// A snapshot holds no sagas.
    SnapshotWithoutSagas,
    /// A start does not ask again for what sagas had asked for.
    AwaitedForgotten,
    /// A saga's request is sent under another id.
    SagaUnderOtherId,
    /// A snapshot holds no schedules.
    SnapshotWithoutSchedules,
    /// A start does not ask again for the runs of schedules that it finds begun.
    RunForgotten,
    /// The transfer of a schedule's run is sent under another id.
    ScheduleUnderOtherId,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 43] = [
        Self::SkipDedupe,
        Self::ForgetIdsAtRestart,
        Self::ForgetTooEarly,
        Self::CountPausesInFull,
        Self::IgnoreChangedContent,
        Self::UnstableRepeat,
        Self::ApplyBeforeVotes,
        Self::WaitIsYes,
        Self::WaitIsNo,
        Self::DropCredit,
        Self::UnfreezeMissing,
        Self::LinkLost,
        Self::MailboxNotFifo,
        Self::StatusLost,
        Self::TimeGoesBack,
        Self::AnswerBeforeDurable,
        Self::AnswerTheNextToo,
        Self::AckFailedSync,
        Self::RetryFailedSync,
        Self::SkipSync,
        Self::MarkBeforeSync,
        Self::LoseMark,
        Self::MarkUnsynced,
        Self::IgnoreTornTail,
        Self::KeepTornTail,
        Self::SkipChecksum,
        Self::SkipDirSync,
        Self::SkipPoison,
        Self::EpochReused,
        Self::SnapshotMissesChange,
        Self::SnapshotOfWrongLsn,
        Self::SnapshotWithoutIds,
        Self::SnapshotTornAcross,
        Self::SnapshotUnsynced,
        Self::TrimTooFar,
        Self::TrimBeforeMark,
        Self::SnapshotWithoutRefunds,
        Self::SnapshotWithoutSagas,
        Self::AwaitedForgotten,
        Self::SagaUnderOtherId,
        Self::SnapshotWithoutSchedules,
        Self::RunForgotten,
        Self::ScheduleUnderOtherId,
    ];
}
