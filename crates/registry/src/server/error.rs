//! The protocol's errors and their JSON form.

use std::borrow::Cow;
use std::io;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The codes of the distribution specification, and the four that its implementations add.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PaginationNumberInvalid,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    Unknown,
}

impl Code {
    /// Name on the wire, usual status and usual message.
    fn parts(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::BlobUnknown => ("BLOB_UNKNOWN", S::NOT_FOUND, "blob unknown to registry"),
            Self::BlobUploadInvalid => {
                ("BLOB_UPLOAD_INVALID", S::BAD_REQUEST, "blob upload invalid")
            }
            Self::BlobUploadUnknown => (
                "BLOB_UPLOAD_UNKNOWN",
                S::NOT_FOUND,
                "blob upload unknown to registry",
            ),
            Self::DigestInvalid => (
                "DIGEST_INVALID",
                S::BAD_REQUEST,
                "provided digest did not match uploaded content",
            ),
            Self::ManifestBlobUnknown => (
                "MANIFEST_BLOB_UNKNOWN",
                S::BAD_REQUEST,
                "blob unknown to registry",
            ),
            Self::ManifestInvalid => ("MANIFEST_INVALID", S::BAD_REQUEST, "manifest invalid"),
            Self::ManifestUnknown => ("MANIFEST_UNKNOWN", S::NOT_FOUND, "manifest unknown"),
            Self::NameInvalid => ("NAME_INVALID", S::BAD_REQUEST, "invalid repository name"),
            Self::NameUnknown => (
                "NAME_UNKNOWN",
                S::NOT_FOUND,
                "repository name not known to registry",
            ),
            Self::PaginationNumberInvalid => (
                "PAGINATION_NUMBER_INVALID",
                S::BAD_REQUEST,
                "invalid number of results requested",
            ),
            Self::RangeInvalid => (
                "RANGE_INVALID",
                S::RANGE_NOT_SATISFIABLE,
                "invalid content range",
            ),
            Self::SizeInvalid => (
                "SIZE_INVALID",
                S::BAD_REQUEST,
                "provided length did not match content length",
            ),
            Self::TagInvalid => (
                "TAG_INVALID",
                S::BAD_REQUEST,
                "manifest tag did not match URI",
            ),
            Self::Unauthorized => ("UNAUTHORIZED", S::UNAUTHORIZED, "authentication required"),
            Self::Denied => (
                "DENIED",
                S::FORBIDDEN,
                "requested access to the resource is denied",
            ),
            Self::Unsupported => (
                "UNSUPPORTED",
                S::METHOD_NOT_ALLOWED,
                "The operation is unsupported.",
            ),
            Self::Unknown => ("UNKNOWN", S::INTERNAL_SERVER_ERROR, "unknown error"),
        }
    }
}

/// A request that is refused, as the client will see it.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) code: Code,
    status: StatusCode,
    message: Cow<'static, str>,
    detail: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What a handler returns.
pub(super) type Answer = Result<Response, ApiError>;

impl ApiError {
    pub(super) fn new(code: Code) -> Self {
        let (_, status, message) = code.parts();
        Self {
            code,
            status,
            message: message.into(),
            detail: Value::Null,
            headers: Vec::new(),
        }
    }

    /// Instead of the code's usual status.
    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Instead of the code's usual message.
    pub(super) fn message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// What the error is about.
    pub(super) fn detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    /// An extra header of the answer.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> Self {
        tracing::error!(%error, "registry storage");
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        let status = if full {
            StatusCode::INSUFFICIENT_STORAGE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        // The text of a system error names no path, so nothing of the host leaks.
        Self::new(Code::Unknown)
            .status(status)
            .message(match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number).to_string(),
                None => error.kind().to_string(),
            })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (name, ..) = self.code.parts();
        let mut error = json!({ "code": name, "message": self.message });
        if !self.detail.is_null()
            && let Some(members) = error.as_object_mut()
        {
            members.insert("detail".to_owned(), self.detail);
        }
        let mut response = Response::new(Body::from(json!({ "errors": [error] }).to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
