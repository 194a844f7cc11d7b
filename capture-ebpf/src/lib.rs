//! netflow-capture
