# Integrate the benchmark problem with deSolve: Rscript desolve.R FOLDER RTOL
suppressMessages(library(deSolve))
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]; rtol <- as.numeric(arguments[2])
read <- function(name) as.matrix(read.csv(file.path(folder, name), header = FALSE))
library_ <- file.path(folder, paste0("model", .Platform$dynlib.ext))
dyn.load(library_)
parameters <- read("parameters.csv"); initial <- read("initial.csv"); doses <- read("doses.csv")
times <- scan(file.path(folder, "times.csv"), quiet = TRUE); atol <- scan(file.path(folder, "atol.csv"), quiet = TRUE)
states <- scan(file.path(folder, "states.csv"), what = "", quiet = TRUE)
outputs <- 3
events <- data.frame(var = states[doses[, 1]], time = doses[, 2], value = doses[, 3], method = "add")
grid <- sort(unique(c(0, times, doses[, 2])))
one <- function(i) {
  y <- initial[i, ]; names(y) <- states
  begin <- proc.time()
  out <- lsoda(y, grid, "derivs", parms = parameters[i, ], dllname = "model", initfunc = "initmod", nout = outputs,
               rtol = rtol, atol = rtol * atol, maxsteps = 1e6, events = list(data = events))
  seconds <- sum((proc.time() - begin)[1:2])
  rows <- match(times, out[, 1])
  list(seconds = seconds, values = out[rows, 1 + length(states) + seq_len(outputs)])
}
invisible(one(1))
runs <- lapply(seq_len(nrow(initial)), one)
values <- do.call(rbind, lapply(runs, function(r) r$values))
write.table(format(values, digits = 17), file.path(folder, "desolve.csv"), sep = ",", row.names = FALSE,
            col.names = FALSE, quote = FALSE)
memory <- as.numeric(sub("[^0-9]*([0-9]+).*", "\\1", grep("VmHWM", readLines("/proc/self/status"), value = TRUE))) / 1024
cat(sprintf('{"version": "%s", "r": "%s", "memory": %f, "seconds": [%s]}\n', packageVersion("deSolve"),
            paste(R.version$major, R.version$minor, sep = "."), memory,
            paste(sapply(runs, function(r) r$seconds), collapse = ", ")))
