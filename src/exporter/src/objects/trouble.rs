//! What an object store refuses or fails at, in words of ours.
//!
//! What a store answers, and what a client says of a request, can hold signatures, tokens and URLs with either. None of
//! it is passed on but the code of the answer and, where it helps, its message.

use std::{error::Error as StdError, io};

use thiserror::Error;

/// Longest message of a store that is passed on.
const MESSAGE_CHARS: usize = 200;

/// Why an object store did not do what it was asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text}")]
pub(crate) struct Trouble {
    text: String,
    /// Whether another try would fail in the same way.
    pub(crate) lasting: bool,
    /// Whether it is about all that is in the bucket, and not about one object.
    pub(super) everywhere: bool,
}

impl Trouble {
    /// Trouble that goes away by itself, or may.
    pub(super) fn passing(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            lasting: false,
            everywhere: false,
        }
    }

    /// Trouble that stays until somebody does something.
    pub(super) fn lasting(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            lasting: true,
            everywhere: false,
        }
    }
}

/// The trouble at the root of `error`, through the layers of the table library, the engine and the file writer.
pub(crate) fn trouble_in<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Trouble> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(trouble) = error.downcast_ref::<Trouble>() {
            return Some(trouble);
        }
        // An I/O error that only wraps another error hides it from `source`.
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            let inner: &(dyn StdError + 'static) = inner;
            return trouble_in(inner);
        }
        next = error.source();
    }
    None
}

/// What the store and its client know of the failure.
struct Facts<'a> {
    /// Everything that the error and its causes say.
    said: String,
    /// Status of the answer.
    status: Option<u16>,
    /// Code in the body of the answer.
    code: Option<String>,
    /// Message in the body of the answer.
    message: Option<String>,
    /// Bucket, as a URL.
    bucket: &'a str,
    /// Where its settings come from.
    settings: String,
}

/// What is known of the failure of a request to `bucket`, opened with the Secret `secret`, none of whose `values` the
/// text holds.
pub(super) fn explain(
    error: &(dyn StdError + 'static),
    bucket: &str,
    secret: Option<&str>,
    values: &[String],
) -> Trouble {
    let said = chain(error);
    let facts = Facts {
        status: status(&said),
        code: element(&said, "Code").or_else(|| json_text(&said, "code")),
        message: element(&said, "Message")
            .filter(|message| !quotes_a_signature(message))
            .map(|message| redacted(&shorten(&message), values)),
        said,
        bucket,
        settings: secret.map_or_else(
            || "the environment, or in a Secret that spec.credentials names".to_owned(),
            |secret| format!("Secret {secret:?}"),
        ),
    };
    known(&facts)
        .map(|trouble| Trouble {
            everywhere: true,
            ..trouble
        })
        .or_else(|| by_status(&facts))
        .unwrap_or_else(|| unanswered(&facts))
}

/// Failures that the store names.
fn known(facts: &Facts<'_>) -> Option<Trouble> {
    let Facts { bucket, settings, .. } = facts;
    let code = facts.code.as_deref()?;
    Some(match code {
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "AuthenticationFailed"
        | "InvalidSecurity"
        | "NoAuthenticationInformation"
        | "XAdminUserNotFound"
        | "InvalidAuthenticationInfo" => Trouble::lasting(format!(
            "{bucket} does not accept the credentials ({code}): correct them in {settings}"
        )),
        "ExpiredToken" | "TokenRefreshRequired" => Trouble::lasting(format!(
            "the credentials for {bucket} have expired ({code}): put new ones into {settings}"
        )),
        "RequestTimeTooSkewed" => Trouble::passing(format!(
            "the clock of this machine is too far from that of {bucket} ({code}): correct it"
        )),
        "NoSuchBucket" | "ContainerNotFound" | "InvalidBucketName" | "ContainerBeingDeleted" => {
            Trouble::lasting(format!("{bucket} does not exist: create it, or correct the location"))
        }
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            Trouble::lasting(wrong_region(facts))
        }
        _ => return None,
    })
}

fn wrong_region(facts: &Facts<'_>) -> String {
    let region = element(&facts.said, "Region")
        .map(|region| format!(", which is {region}"))
        .unwrap_or_default();
    let said = facts
        .message
        .as_ref()
        .map(|message| format!(" ({message})"))
        .unwrap_or_default();
    format!(
        "{} is in another region than it is asked in{said}: set AWS_REGION in {} to the region of the bucket{region}",
        facts.bucket, facts.settings
    )
}

/// Failures that the status of the answer tells apart.
fn by_status(facts: &Facts<'_>) -> Option<Trouble> {
    let Facts { bucket, settings, .. } = facts;
    if facts.said.contains("redirect without LOCATION") {
        return Some(Trouble::lasting(wrong_region(facts)));
    }
    let status = facts.status?;
    let code = match &facts.code {
        Some(code) if code.chars().all(|c| c.is_ascii_alphanumeric()) => format!("{status} {code}"),
        _ => status.to_string(),
    };
    Some(match status {
        301 | 307 | 308 => Trouble::lasting(wrong_region(facts)),
        401 => Trouble::lasting(format!(
            "{bucket} does not accept the credentials ({code}): correct them in {settings}"
        )),
        403 => Trouble::lasting(format!(
            "{bucket} denies access ({code}): give the credentials in {settings} the right to list and read it, and for a dataset to write and delete, too"
        )),
        404 => Trouble::lasting(format!(
            "{bucket} or the object is not there ({code}): correct the location"
        )),
        412 => Trouble::passing(format!("an object in {bucket} was replaced while it was read")),
        429 | 500..=599 if status != 501 => Trouble::passing(format!(
            "{bucket} fails or is overloaded ({code}), also after several tries: try again later"
        )),
        _ => {
            let said = facts
                .message
                .as_ref()
                .map(|message| format!(": {message}"))
                .unwrap_or_default();
            Trouble::passing(format!("{bucket} refused a request ({code}){said}"))
        }
    })
}

/// Failures without an answer.
fn unanswered(facts: &Facts<'_>) -> Trouble {
    let Facts {
        bucket, settings, said, ..
    } = facts;
    let said = said.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["certificate", "unknownissuer", "tls handshake"]) {
        return Trouble::lasting(format!(
            "the certificate of {bucket}'s endpoint is not trusted: put that of its authority into {settings} as ca.crt"
        ));
    }
    if has(&[
        "169.254.169.254",
        "169.254.170.",
        "metadata.google",
        "metadata token",
        "instance metadata",
        "no access token",
    ]) {
        return Trouble::passing(format!(
            "there are no credentials for {bucket}: neither a Secret names some nor does the cluster give the pod an identity. Name a Secret in spec.credentials, or give the pod's service account an identity"
        ));
    }
    let what = if has(&["dns", "lookup address", "name or service", "name resolution"]) {
        "the name of its endpoint is not known: correct the endpoint or the region"
    } else if has(&["refused"]) {
        "its endpoint refuses the connection: correct the endpoint, or look whether it runs and the network lets the pod through"
    } else if has(&["url scheme is not allowed", "builder error"]) {
        return Trouble::lasting(format!(
            "the endpoint of {bucket} is not https: use one that is, or set AWS_ALLOW_HTTP to true in {settings}"
        ));
    } else if has(&["timed out", "timeout"]) {
        "it did not answer in time: look whether the network lets the pod through"
    } else if has(&[
        "connect",
        "reset",
        "closed",
        "broken pipe",
        "incomplete",
        "end of file",
        "body",
        "sending request",
    ]) {
        "the connection broke, also after several tries: try again later"
    } else {
        "it gave an answer that is not understood: correct the endpoint"
    };
    Trouble::passing(format!("{bucket} cannot be used: {what}"))
}

/// What an error and all of its causes say.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        said.push('\n');
        said.push_str(&cause.to_string());
        next = cause.source();
    }
    said
}

fn status(said: &str) -> Option<u16> {
    let (_, rest) = said.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// Text of an XML element without children.
fn element(said: &str, name: &str) -> Option<String> {
    let (_, rest) = said.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    Some(text.trim().to_owned())
}

fn json_text(said: &str, name: &str) -> Option<String> {
    let (_, rest) = said.split_once(&format!("\"{name}\":"))?;
    let text = rest.trim_start().strip_prefix('"')?;
    text.split_once('"').map(|(text, _)| text.to_owned())
}

/// Whether a message quotes what a request was signed with.
fn quotes_a_signature(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["signature", "sig=", "authorization", "bearer", "token"]
        .iter()
        .any(|word| message.contains(word) && message.contains(['=', '\'', '"']))
}

fn shorten(message: &str) -> String {
    message
        .chars()
        .filter(|c| !c.is_control())
        .take(MESSAGE_CHARS)
        .collect()
}

/// `text` without any of these values, as they are or as they stand in a URL.
pub(super) fn redacted(text: &str, values: &[String]) -> String {
    let mut text = text.to_owned();
    for value in values {
        let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        for form in [value.as_str(), encoded.as_str()] {
            text = text.replace(form, "REDACTED");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Trouble {
        let error = io::Error::other(text.to_owned());
        explain(&error, "s3://lake", Some("writer"), &["hunter2hunter2".to_owned()])
    }

    fn answer(status: u16, code: &str, message: &str) -> String {
        format!(
            "Error performing PUT https://x/y?sig=hunter2hunter2 in 1s - Server returned non-2xx status code: {status} Y: <Error><Code>{code}</Code><Message>{message}</Message><StringToSign>hunter2hunter2</StringToSign></Error>"
        )
    }

    #[test]
    fn what_a_user_can_put_right_is_lasting_and_says_how() {
        for (text, words) in [
            (
                answer(403, "InvalidAccessKeyId", "no such key"),
                "correct them in Secret \"writer\"",
            ),
            (
                answer(403, "SignatureDoesNotMatch", "?"),
                "does not accept the credentials",
            ),
            (answer(403, "AccessDenied", "?"), "the right to list and read"),
            (answer(404, "NoSuchBucket", "?"), "does not exist: create it"),
            (
                answer(
                    400,
                    "AuthorizationHeaderMalformed",
                    "the region 'a' is wrong; expecting 'b'",
                ),
                "expecting 'b'",
            ),
            ("Received redirect without LOCATION, this".to_owned(), "AWS_REGION"),
            ("invalid peer certificate: UnknownIssuer".to_owned(), "ca.crt"),
        ] {
            let trouble = said(&text);
            assert!(trouble.lasting && trouble.text.contains(words), "{text}: {trouble}");
        }
    }

    #[test]
    fn what_passes_is_tried_again() {
        for (text, words) in [
            (answer(503, "SlowDown", "?"), "503 SlowDown"),
            (answer(500, "InternalError", "?"), "try again later"),
            ("Connection refused (os error 111)".to_owned(), "refuses the connection"),
            ("operation timed out".to_owned(), "in time"),
            (
                "failed to lookup address information".to_owned(),
                "name of its endpoint",
            ),
            ("connection reset by peer".to_owned(), "the connection broke"),
        ] {
            let trouble = said(&text);
            assert!(!trouble.lasting && trouble.text.contains(words), "{text}: {trouble}");
        }
    }

    #[test]
    fn nothing_secret_is_passed_on() {
        for status in [301, 400, 401, 403, 404, 409, 412, 418, 429, 500, 501, 503] {
            for code in [
                "AccessDenied",
                "Odd",
                "hunter2hunter2, and more",
                "AuthorizationHeaderMalformed",
            ] {
                let trouble = said(&answer(status, code, "key hunter2hunter2 is wrong"));
                assert!(!trouble.text.contains("hunter2"), "{trouble}");
            }
        }
    }

    #[test]
    fn a_message_that_quotes_a_signature_is_kept_back() {
        let quoted = "bad Authorization: AWS4-HMAC-SHA256 Credential=a, Signature=0123456789abcdef";
        let trouble = said(&answer(400, "InvalidArgument", quoted));
        assert!(!trouble.text.contains("0123456789abcdef"), "{trouble}");
        let trouble = said(&answer(400, "InvalidArgument", "the part is too small"));
        assert!(trouble.text.contains("too small"), "{trouble}");
    }

    #[test]
    fn trouble_is_found_however_deep_it_is() {
        let wrapped = io::Error::other(io::Error::other(Trouble::lasting("x")));
        assert!(trouble_in(&wrapped).is_some_and(|trouble| trouble.lasting));
        assert_eq!(trouble_in(&io::Error::from_raw_os_error(13)), None);
    }
}
