//! The threads that an engine's actors run on: their own, apart from those that speak with
//! clients, so that a batch is decided while the next requests are decoded and the last
//! answers encoded, and no decision waits behind a connection.
//!
//! One thread is enough for one partition: coordinator, partition and journal writer take
//! turns on a batch, and handing it from core to core would only cost time. More partitions
//! work on a batch together.

use std::io;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// Gives the calling thread a low priority: next to one of the usual priority it gets about a
/// tenth of a processor, and all of it when nobody else wants it.
pub(crate) fn lower_priority() {
    const NICE: libc::c_int = 10;
    // On Linux each thread has a niceness of its own; 0 is the calling one.
    // SAFETY: a plain system call. It fails only where it is not allowed, and then the thread
    // works at the usual priority.
    #[allow(unsafe_code)]
    #[cfg(target_os = "linux")]
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
}

/// After so many turns of its own actors the engine's thread looks for what other threads have told
/// them. Tokio's default is 31: coordinator and partition, who wake each other all the time, would
/// decide four batches before the journal writer heard that its append is durable, and meanwhile the disk, the
/// connections and the clients would wait (measured: `docs/adr/0010`).
const OTHER_THREADS_INTERVAL: u32 = 1;

/// A runtime of its own. Dropping it ends it; whatever still runs there is cut.
pub(crate) struct EngineThreads {
    handle: Handle,
    running: Option<Running>,
}

enum Running {
    /// One thread, which is told to end by dropping the sender.
    One {
        _end: oneshot::Sender<()>,
        _thread: JoinHandle<()>,
    },
    Many(Runtime),
}

impl EngineThreads {
    /// Threads for so many partitions.
    pub fn start(partitions: usize) -> io::Result<Self> {
        if partitions > 1 {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let runtime = Builder::new_multi_thread()
                .worker_threads(partitions.min(cores))
                .thread_name("ducat-engine")
                .enable_time()
                .build()?;
            let handle = runtime.handle().clone();
            return Ok(Self { handle, running: Some(Running::Many(runtime)) });
        }
        let runtime = Builder::new_current_thread()
            .thread_name("ducat-blocking")
            .global_queue_interval(OTHER_THREADS_INTERVAL)
            .enable_time()
            .build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let thread =
            std::thread::Builder::new().name("ducat-engine".to_owned()).spawn(move || {
                // An error is the sender gone, which is the word to end.
                let _end = runtime.block_on(ended);
                runtime.shutdown_background();
            })?;
        Ok(Self { handle, running: Some(Running::One { _end: end, _thread: thread }) })
    }

    /// Where to spawn.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for EngineThreads {
    fn drop(&mut self) {
        if let Some(Running::Many(runtime)) = self.running.take() {
            // Dropping a runtime waits, which no task may do.
            runtime.shutdown_background();
        }
    }
}
