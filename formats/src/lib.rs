//! netflow-formats
