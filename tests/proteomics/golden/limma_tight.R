# Reference values of the robust prior of variances, and of correlations within persons.
# Run in this folder: Rscript limma_tight.R   (R 4.2.2, limma 3.54.1, statmod 1.5.0)
# "_tight" solves the same equations further than limma asks for by default.
suppressMessages(library(limma))
imports <- parent.env(asNamespace("limma"))
replace <- function(name, f) { unlockBinding(name, imports); assign(name, f, imports) }
tight_uniroot <- function(f, interval, ..., tol) stats::uniroot(f, interval, ..., tol = 1e-15, maxiter = 1000)
exact <- function(x) sprintf("%.17g", x)
save <- function(table, name) {
  for (j in seq_along(table)) if (is.numeric(table[[j]])) table[[j]] <- exact(table[[j]])
  write.csv(table, file.path("limma_tight", paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
}

# --- Variances of known distributions, some of them outliers ---------------------------------
observed <- function(n, d, d0) if (is.infinite(d0)) rchisq(n, d) / d else rf(n, d, d0)
set.seed(3)
some <- function(n, from) sample(from, n, TRUE)
cases <- list(
  equal = list(d = rep(6, 100), d0 = 4, times = c(80, 40, 20)),
  mixed = list(d = some(100, c(3, 5, 9)), d0 = 6, times = c(300, 40, 20)),
  one = list(d = rep(1, 100), d0 = 3, times = c(80, 40, 20)),
  few = list(d = rep(8, 12), d0 = 10, times = 60),
  zero = list(d = c(rep(0, 10), some(90, 2:8)), d0 = 5, times = c(1, 1, 60)),
  alike = list(d = rep(6, 100), d0 = Inf, times = c(80, 40, 20)),
  alike_mixed = list(d = some(100, c(3, 5, 9)), d0 = Inf, times = c(80, 6, 3)),
  plain = list(d = rep(6, 50), d0 = 4, times = 1),
  strong = list(d = rep(12, 60), d0 = 30, times = c(1e12, 5)))
# Without any outlier the prior stays the ordinary one, or that of variances that are all alike.
for (seed in 1:6) cases[[paste0("clean", seed)]] <- list(d = if (seed %% 2) rep(5, 40) else some(40, 2:9), d0 = c(2, Inf, 20)[1 + seed %% 3], times = 1)
out <- list()
for (name in names(cases)) {
  case <- cases[[name]]
  n <- length(case$d)
  x <- 0.3 * observed(n, pmax(case$d, 1), case$d0)
  x[case$d == 0] <- 0
  last <- n + 1 - seq_along(case$times)
  x[last] <- x[last] * case$times
  replace("uniroot", stats::uniroot); plain <- squeezeVar(x, case$d, robust = TRUE)
  replace("uniroot", tight_uniroot); tight <- squeezeVar(x, case$d, robust = TRUE)
  out[[name]] <- data.frame(case = name, variance = x, df = case$d, posterior = plain$var.post,
    prior_df = rep_len(plain$df.prior, n), posterior_tight = tight$var.post,
    prior_tight = rep_len(tight$var.prior, n), prior_df_tight = rep_len(tight$df.prior, n))
}
save(do.call(rbind, out), "robust")

# --- Moderated t with a robust prior -----------------------------------------------------------
read <- function(name) read.csv(file.path("differential", paste0(name, ".csv")), check.names = FALSE)
obs <- read("obs")
obs$group <- factor(obs$group, levels = c("control", "TN", "MS"))
design <- model.matrix(~ group + age + plate, obs)
values <- list(complete = t(read("complete")), missing = t(read("missing")))
out <- list()
for (name in names(values)) {
  fit <- suppressWarnings(lmFit(values[[name]], design))
  replace("uniroot", stats::uniroot); plain <- eBayes(fit, robust = TRUE)
  replace("uniroot", tight_uniroot); tight <- eBayes(fit, robust = TRUE)
  out[[name]] <- data.frame(case = name, assay = rownames(fit$coefficients), t = plain$t[, "groupTN"],
    df_prior = plain$df.prior, t_tight = tight$t[, "groupTN"], p_tight = tight$p.value[, "groupTN"],
    s2_prior_tight = rep_len(tight$s2.prior, nrow(fit$coefficients)), df_prior_tight = tight$df.prior)
}
replace("uniroot", stats::uniroot)
save(do.call(rbind, out), "robust_t")

# --- Correlation within persons, values missing --------------------------------------------------
# limma asks for at most 20 iterations of statmod's glmgam.fit, with a tolerance of 1e-6.
obs$visit <- factor(obs$visit, levels = c("preop", "followup"))
within <- model.matrix(~ visit, obs)
plain <- duplicateCorrelation(values$missing, within, block = obs$person)
statmod <- asNamespace("statmod")
fit_gamma <- statmod::glmgam.fit
unlockBinding("glmgam.fit", statmod)
assign("glmgam.fit", function(..., tol, maxit) fit_gamma(..., tol = 1e-14, maxit = 5000), statmod)
tight <- duplicateCorrelation(values$missing, within, block = obs$person)
save(data.frame(assay = rownames(values$missing), rho = tanh(plain$atanh.correlations),
  rho_tight = tanh(tight$atanh.correlations), consensus = plain$consensus.correlation,
  consensus_tight = tight$consensus.correlation), "correlation")
