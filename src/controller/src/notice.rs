//! What is told by Events.

/// An Event on the ExportJob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether somebody should look at it: an Event of type `Warning`, else `Normal`.
    pub warning: bool,
    /// One CamelCase word.
    pub reason: &'static str,
    /// For people, at most 1024 bytes.
    pub message: String,
}

/// Most bytes that the note of an Event may have.
const NOTE_BYTES: usize = 1024;

impl Notice {
    /// Something that went as it should.
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(false, reason, message.into())
    }

    /// Something that somebody should look at.
    pub fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(true, reason, message.into())
    }

    fn new(warning: bool, reason: &'static str, message: String) -> Self {
        Self {
            warning,
            reason,
            message: shorten(message, NOTE_BYTES),
        }
    }
}

/// The text with at most so many bytes; `…` stands for what was cut.
pub fn shorten(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let cut = bytes.saturating_sub('…'.len_utf8());
        text.truncate(text.floor_char_boundary(cut));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let notice = Notice::warning("Failed", "é".repeat(1000));
        assert!(notice.message.len() <= NOTE_BYTES);
        assert!(notice.message.ends_with('…'));
        assert_eq!(Notice::normal("Done", "short").message, "short");
    }
}
