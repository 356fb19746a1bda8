//! Decoding that takes long: it does not hold a worker thread, and few values are decoded so at once.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;

use millstream_avro::limits::{Walked, with_stack};

/// What takes no more memory is decoded on the spot, in some hundred microseconds.
const ON_THE_SPOT: usize = 64 * 1024;

/// Values that are decoded at leisure at the same time: what they take together is bounded, too.
const AT_ONCE: usize = 2;

/// Where decoding is done.
pub struct Leisure(Semaphore);

impl Default for Leisure {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Leisure {
    /// Runs `work` on a value that was walked.
    pub async fn run<T>(&self, walked: Walked, work: impl FnOnce() -> T) -> T {
        let work = || with_stack(walked.depth, work);
        if walked.memory <= ON_THE_SPOT {
            return work();
        }
        // Nobody closes the semaphore.
        let _turn = self.0.acquire().await;
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            // The other tasks of this thread go on in another one.
            Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
            _ => work(),
        }
    }
}
