//! The watchdog: turns a flush that never returns into a loud stop.
//!
//! sled has been seen to hang in a flush. The call runs on the writer's own thread,
//! which cannot notice; a thread beside it looks at the clock.

use super::options::OnStall;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[derive(Debug)]
struct Watched {
    what: String,
    since: Instant,
}

/// Watches one activity at a time. Dropping it ends its thread.
#[derive(Debug)]
pub struct Watchdog {
    watched: Arc<Mutex<Option<Watched>>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

const LOCK: &str = "no code panics while it holds this lock";

impl Watchdog {
    /// Starts the thread; `on_stall` is called once for each activity that takes
    /// longer than `timeout_ms`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(timeout_ms: u64, on_stall: OnStall) -> std::io::Result<Self> {
        let watched = Arc::new(Mutex::new(None));
        let (stop, stopped) = channel::<()>();
        let timeout = Duration::from_millis(timeout_ms);
        let every = (timeout / 4).clamp(Duration::from_millis(1), Duration::from_secs(1));
        let seen = watched.clone();
        let thread =
            std::thread::Builder::new().name("journal-watchdog".to_owned()).spawn(move || {
                while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    if let Some(what) = overdue(&seen, timeout) {
                        on_stall(&what);
                    }
                }
            })?;
        Ok(Self { watched, stop: Some(stop), thread: Some(thread) })
    }

    /// Watches until the returned guard is dropped.
    #[must_use]
    pub fn watch(&self, what: String) -> Watch<'_> {
        *self.watched.lock().expect(LOCK) = Some(Watched { what, since: Instant::now() });
        Watch { dog: self }
    }
}

fn overdue(watched: &Mutex<Option<Watched>>, timeout: Duration) -> Option<String> {
    let mut watched = watched.lock().expect(LOCK);
    let late = watched.as_ref().is_some_and(|now| now.since.elapsed() > timeout);
    // Taken, so that it is reported once.
    if late { watched.take().map(|now| now.what) } else { None }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A callback that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// An activity under watch.
#[derive(Debug)]
pub struct Watch<'d> {
    dog: &'d Watchdog,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.dog.watched.lock().expect(LOCK).take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_stall_is_reported_once_and_nothing_else_is() {
        let (tell, told) = mpsc::channel();
        let on_stall: OnStall = Arc::new(move |what: &str| {
            tell.send(what.to_owned()).expect("the test listens");
        });
        let dog = Watchdog::start(20, on_stall).expect("starts");
        drop(dog.watch("quick".to_owned()));
        let slow = dog.watch("slow".to_owned());
        assert_eq!(told.recv_timeout(Duration::from_secs(10)).as_deref(), Ok("slow"));
        drop(slow);
        drop(dog);
        assert!(told.try_recv().is_err(), "reported once");
    }
}
