module exportjob.test/runc-unprivileged

go 1.25.0
