# What R says about the two trials of analyses.json, for test_analyses.py. Writes analyses_r.json.
# Needs survival, nlme, mmrm, rbmi 1.5 and the functions of WINS 1.5.1 in a folder:
#   Rscript analyses.R FOLDER_OF_WINS_R
suppressMessages({library(jsonlite); library(nlme); library(survival)})
data <- fromJSON("analyses.json")
wins <- commandArgs(TRUE)[1]
wide <- function(t) {
  d <- data.frame(id = factor(seq_along(t$arm)), arm = t$arm, onset = factor(t$onset), base = t$rated[1, ],
                  months = t$months, event = t$event)
  cbind(d, t(t$rated[-1, ]) - d$base)
}
long <- function(t) {
  d <- wide(t); v <- length(t$weeks)
  l <- do.call(rbind, lapply(1:v, function(j) cbind(d[1:6], visit = j, change = d[[6 + j]])))
  l <- l[order(l$id, l$visit), ]
  l$base <- l$base - mean(d$base); l$visit <- factor(l$visit); l
}
left <- long(data$left); died <- wide(data$died)
out <- list(versions = list(R = paste(R.version$major, R.version$minor, sep = ".")))

# wins by death alone: concordance of survival with the arm
found <- concordance(Surv(months, event) ~ arm, died, influence = 2)
n <- found$count; i <- found$influence
out$concordance <- list(concordant = n[["concordant"]], discordant = n[["discordant"]],
                        se = sqrt(sum((i[, 1] / n[["concordant"]] - i[, 2] / n[["discordant"]])^2)))

# wins by death, then by the change at the last visit, which every survivor has
for (f in list.files(wins, full.names = TRUE)) source(f)
frame <- data.frame(id = died$id, arm = died$arm, stratum = as.integer(died$onset), Delta_1 = died$event,
                    Y_1 = died$months, Y_2 = ifelse(is.na(died[[11]]), -99, died[[11]]))
for (kind in c("unstratified", "MH-type")) {
  given <- frame; if (kind == "unstratified") given$stratum <- 1
  w <- win.stat(given, ep_type = c("tte", "continuous"), arm.name = c(1, 0), stratum.weight = kind, priority = 1:2,
                summary.print = FALSE, pvalue = "two-sided", digit = 10)
  key <- sub("-type", "", kind)
  out[[paste0("wins_", key)]] <- list(wr = unname(w$Win_statistic$Win_Ratio), nb = unname(w$Win_statistic$Net_Benefit))
}

# proportional decline: gls of the linearised model to its fixed point, and gnls by maximum likelihood
seen <- left[!is.na(left$change), ]
once <- seen[!duplicated(seen$id), ]; seen$base <- seen$base - mean(once$base)
a <- tapply(seen$change[seen$arm == 0], seen$visit[seen$arm == 0], mean); r <- 0
X <- model.matrix(~ 0 + visit + visit:base + onset, seen)
X[, grepl("onset", colnames(X))] <- X[, grepl("onset", colnames(X))] -
  rep(c(mean(once$onset == 1), mean(once$onset == 2)), each = nrow(X))
for (i in 1:40) {
  v <- as.integer(seen$visit); D <- X
  for (j in 1:4) D[, j] <- D[, j] * ifelse(seen$arm == 1, 1 - r, 1)
  seen$y <- seen$change - seen$arm * r * a[v]; seen$fall <- -seen$arm * a[v]
  colnames(D) <- paste0("x", seq_len(ncol(D))); both <- cbind(seen, D)
  fit <- gls(reformulate(c("0", colnames(D), "fall"), "y"), both, correlation = corSymm(form = ~ v | id),
             weights = varIdent(form = ~ 1 | visit), method = "REML",
             control = glsControl(tolerance = 1e-10, msTol = 1e-12, maxIter = 300, msMaxIter = 500))
  moved <- abs(coef(fit)["fall"] - r); r <- unname(coef(fit)["fall"]); a <- unname(coef(fit)[1:4])
  if (moved < 1e-8) break
}
out$proportional <- list(value = r, se = sqrt(vcov(fit)["fall", "fall"]), control = a, loglik = as.numeric(logLik(fit)))

# reference-based imputation: rbmi, conditional means for the value, Bayesian bootstrap draws for the error
suppressMessages(library(rbmi))
all <- left; all$arm <- factor(ifelse(all$arm == 1, "active", "control"), levels = c("control", "active"))
vars <- set_vars(subjid = "id", visit = "visit", outcome = "change", group = "arm",
                 covariates = c("base*visit", "onset*visit", "arm*visit"))
ice <- do.call(rbind, lapply(split(all, all$id), function(p) {
  gone <- max(c(0, which(!is.na(p$change)))) + 1
  if (gone <= 4) data.frame(id = p$id[1], visit = p$visit[gone], strategy = "JR") }))
set.seed(1)
for (m in c("condmean", "approxbayes")) {
  method <- if (m == "condmean") method_condmean(type = "bootstrap", n_samples = 0, covariance = "us")
            else method_approxbayes(n_samples = 1000, covariance = "us")
  drawn <- draws(all, ice, vars, method, quiet = TRUE)
  for (s in c("JR", "CR", "CIR")) {
    ice$strategy <- s
    done <- analyse(impute(drawn, c(control = "control", active = "control"), update_strategy = ice), ancova,
                    vars = set_vars(subjid = "id", outcome = "change", visit = "visit", group = "arm",
                                    covariates = c("base", "onset")), visits = "4")
    p <- if (m == "condmean") done$results[[1]]$trt_4 else pool(done)$pars$trt_4
    out[[paste(m, s, sep = "_")]] <- list(est = p$est, se = p$se)
  }
}

# rates without deaths: the linear mixed model by maximum likelihood
t <- data$left; m <- c(0, t$weeks) * 168 / 730.5
y <- t(t$rated); o <- sapply(1:2, function(k) (t$onset == k) - mean(t$onset == k)); row <- row(y)
d <- data.frame(id = factor(row), time = m[col(y)], y = c(y), arm = t$arm[row], o1 = o[row, 1], o2 = o[row, 2])
f <- lme(y ~ time + time:o1 + time:o2 + time:arm, d[!is.na(d$y), ], random = ~ time | id, method = "ML",
         control = lmeControl(msTol = 1e-12, tolerance = 1e-10))
out$lme <- list(value = fixef(f)[["time:arm"]], loglik = as.numeric(logLik(f)))
write_json(out, "analyses_r.json", auto_unbox = TRUE, digits = 12, pretty = TRUE)
