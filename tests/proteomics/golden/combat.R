# Golden values of ComBat, by the Bioconductor package sva (3.46) in R 4.2.
# Run in this folder:  Rscript combat.R
# input.csv: samples × (batch, group, age, proteins); one output per case, samples × proteins.
suppressMessages(library(sva))
set.seed(20)
batch <- rep(c("A", "B", "C"), c(9, 7, 6))
n <- length(batch); p <- 25
group <- rep(c("tn", "control"), length.out = n)
age <- round(rnorm(n, 58, 9), 1)
x <- matrix(rnorm(p * n, 6, 0.6), p, n) + rnorm(p)
x <- x + outer(rnorm(p, 0.4, 0.5), batch == "B") + outer(rnorm(p, -0.6, 0.3), batch == "C")
x[, batch == "C"] <- x[, batch == "C"] + rnorm(p * 6, 0, 0.7)
x <- x + outer(rnorm(p, 0, 0.5), group == "tn") + outer(rnorm(p, 0, 0.02), age - 58)
gaps <- x
for (k in 1:60) gaps[sample(p, 1), sample(n, 1)] <- NA
rownames(x) <- rownames(gaps) <- sprintf("p%02d", 1:p)
colnames(x) <- colnames(gaps) <- sprintf("s%02d", 1:n)

keep <- function(values, name, ...) {
  text <- apply(t(values), 2, function(v) ifelse(is.na(v), "", sprintf("%.17g", v)))
  frame <- data.frame(sample = colnames(x), ..., text)
  write.csv(frame, file.path("combat", paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
}
quiet <- function(...) suppressMessages(ComBat(batch = batch, ...))
mod <- model.matrix(~ group + age)

keep(x, "input", batch = batch, group = group, age = age)
keep(gaps, "input_missing", batch = batch, group = group, age = age)
keep(quiet(x), "parametric")
keep(quiet(x, par.prior = FALSE), "nonparametric")
keep(quiet(x, mod = mod), "covariates")
keep(quiet(x, mod = mod, par.prior = FALSE), "covariates_nonparametric")
keep(quiet(x, ref.batch = "B"), "reference")
keep(quiet(x, mod = mod, ref.batch = "B"), "covariates_reference")
keep(quiet(x, mean.only = TRUE), "mean_only")
keep(quiet(x, mean.only = TRUE, par.prior = FALSE), "mean_only_nonparametric")
keep(quiet(gaps), "missing")
keep(quiet(gaps, mod = mod), "missing_covariates")
keep(quiet(gaps, par.prior = FALSE), "missing_nonparametric")
