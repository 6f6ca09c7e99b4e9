//! Several pods that share an export. Each writes the profiles of its buckets and hands in a manifest of its files;
//! whoever finds the manifests of all shards in the dataset makes the one commit of all files.
//!
//! | what happens | why it does no harm |
//! |---|---|
//! | a pod dies before its manifest is there | its files are in no manifest, so no commit has them; its successor starts over |
//! | a pod dies after that, before it looks for the others | its successor finds the manifest, writes nothing, and looks |
//! | two find all manifests | both propose the same files, and the fence of the log lets one of them win |
//! | two pods are at work on one shard | the manifest is created once: the other one's files go |
//! | a manifest comes after the end of the batch | its pod looks at the log after that, and takes it away again |
//!
//! The last manifest that is created is created before its pod looks, so that one pod at least sees them all.

mod hand_in;
mod manifests;

use exportjob_plan::{code, pod};

pub(crate) use self::{
    hand_in::HandIn,
    manifests::{FOLDER, Manifests},
};
use crate::{Error, Result, Shard};

impl Shard {
    /// The shard of a pod whose environment has `index` for [`pod::SHARD_ENV`]; `None` where one pod does it all.
    ///
    /// # Errors
    /// `INTERNAL` where it is missing, or is not one of `shards`.
    pub fn of_pod(index: Option<&str>, shards: u32) -> Result<Option<Self>> {
        let count = usize::try_from(shards).unwrap_or(usize::MAX);
        if count <= 1 {
            return Ok(None);
        }
        let known = index
            .and_then(|index| index.parse().ok())
            .filter(|index| *index < count);
        let index = known.ok_or_else(|| {
            Error::new(
                code::INTERNAL,
                format!(
                    "{} is {index:?}, and must be the number of one of {count} shards: the pods of an export belong to an Indexed Job",
                    pod::SHARD_ENV
                ),
            )
            .lasting()
        })?;
        Ok(Some(Self { index, count }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_does_not_know_its_shard_does_not_begin() {
        assert_eq!(Shard::of_pod(Some("7"), 1).unwrap(), None);
        assert_eq!(Shard::of_pod(Some("2"), 3).unwrap(), Some(Shard { index: 2, count: 3 }));
        for index in [None, Some(""), Some("3"), Some("-1")] {
            let error = Shard::of_pod(index, 3).unwrap_err();
            assert_eq!(error.exit_code(), exportjob_plan::exit::USER_ERROR, "{index:?}");
        }
    }
}
