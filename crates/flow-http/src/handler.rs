use crate::{HttpBodyData, HttpBodyEnd, HttpRequest, HttpResponse};

/// Is called with every message, in the order in which they become complete.
///
/// It is shared by all connections; what it collects needs interior mutability.
pub trait HttpHandler: Send + Sync + 'static {
    /// A request is complete, or as complete as it will be.
    fn on_request(&self, request: &HttpRequest) {
        let _ = request;
    }

    /// A response is complete, or as complete as it will be.
    fn on_response(&self, response: &HttpResponse) {
        let _ = response;
    }

    /// Bytes of a body were captured ([`BodyPolicy::Stream`](crate::BodyPolicy::Stream) only).
    fn on_body_data(&self, data: &HttpBodyData) {
        let _ = data;
    }

    /// A body has ended ([`BodyPolicy::Stream`](crate::BodyPolicy::Stream) only).
    fn on_body_end(&self, end: &HttpBodyEnd) {
        let _ = end;
    }
}
