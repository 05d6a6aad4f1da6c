//! Tests of the conversation live with the whole program; here is what needs no process.
