//! The watchdog: wakes an append that waits for a write that has failed, and turns one that never
//! returns into a loud stop.
//!
//! sled has been seen to hang in a flush. The call runs on the writer's own thread,
//! which cannot notice; a thread beside it looks whether there is a reason to wake it
//! ([`super::guarded`]), and at the clock.

use super::guarded::LOOK_EVERY;
use super::options::OnStall;
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

struct Watched {
    what: String,
    since: Instant,
    /// Looks whether what it waits for has failed, and wakes it if so.
    wake: Option<Box<dyn Fn() + Send>>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("what", &self.what)
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
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
        let every = (timeout / 4).clamp(Duration::from_millis(1), LOOK_EVERY);
        let seen = watched.clone();
        let thread =
            std::thread::Builder::new().name("journal-watchdog".to_owned()).spawn(move || {
                while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    wake(&seen);
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
        *self.watched.lock().expect(LOCK) =
            Some(Watched { what, since: Instant::now(), wake: None });
        Watch { dog: self }
    }
}

/// Under the lock, so that what is woken is still what is watched.
fn wake(watched: &Mutex<Option<Watched>>) {
    if let Some(wake) = watched.lock().expect(LOCK).as_ref().and_then(|now| now.wake.as_ref()) {
        wake();
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

impl Watch<'_> {
    /// From now on `wake` is called again and again, on the watchdog's thread, until the activity
    /// ends. It must wait for nothing.
    pub fn wake_by(&self, wake: impl Fn() + Send + 'static) {
        if let Some(now) = self.dog.watched.lock().expect(LOCK).as_mut() {
            now.wake = Some(Box::new(wake));
        }
    }
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
