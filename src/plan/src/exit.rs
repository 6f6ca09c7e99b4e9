//! Exit codes of the exporter. 1, 2, 101 and 128 + signal are left to runtimes, argument parsers and signals, which the
//! controller's failure policy treats as retryable.

/// The batches are committed, or were before.
pub const DONE: u8 = 0;
/// The input is wrong: another try would fail in the same way.
pub const USER_ERROR: u8 = 42;
/// The batch was aborted: nothing may be written any more.
pub const ABORTED: u8 = 43;
/// Something went wrong that may go well another time.
pub const RETRY: u8 = 44;
