//! REST as it looks on the wire: status codes, headers and bodies that only this transport has.

mod bearer;
mod documents;
mod form;
mod hostile;
mod surface;
